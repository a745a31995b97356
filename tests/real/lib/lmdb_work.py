"""Works on LMDB environments in a directory, and judges them by a dictionary.

    lmdb_work.py work DIRECTORY TRUTH     makes the environments; TRUTH gets what each must hold
    lmdb_work.py check DIRECTORY TRUTH    compares them with that
"""

import json
import multiprocessing
import os
import random
import sys
import time

import lmdb

MAP_SIZE = 48 << 20

# LMDB reads by a shared map always. It writes by pwrite, or with writemap by stores into the map.
SHAPES = (
    ("written", {}),
    ("stored", {"writemap": True}),
    ("stored-late", {"writemap": True, "map_async": True, "sync": False}),
    ("written-late", {"metasync": False, "sync": False}),
)
TRANSACTIONS = 150
BALANCE = 10_000


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def opened(path, **options):
    return lmdb.open(path, map_size=MAP_SIZE, max_dbs=4, **options)


def change(chance, transaction, model):
    """Some puts and deletes in both, and two accounts whose sum stays."""
    for _ in range(chance.randrange(1, 60)):
        key = b"key %d" % chance.randrange(800)
        if chance.randrange(3):
            value = chance.randbytes(chance.choice((1, 100, 3000, 20000)))
            transaction.put(key, value)
            model[key] = value
        else:
            transaction.delete(key)
            model.pop(key, None)
    first = chance.randrange(BALANCE)
    for name, amount in ((b"account 1", first), (b"account 2", BALANCE - first)):
        transaction.put(name, b"%d" % amount)
        model[name] = b"%d" % amount


def content_of(environment):
    with environment.begin() as transaction:
        return dict(transaction.cursor())


def judge(path, model, **options):
    with opened(path, **options) as environment:
        check(content_of(environment) == model, f"{path}: not what was put")
        with environment.begin() as transaction:
            backwards = [key for key, _ in transaction.cursor().iterprev()]
        check(backwards == sorted(model, reverse=True), f"{path}: the order of the keys")
        check(environment.stat()["entries"] == len(model), f"{path}: the number of entries")


def read_all_the_time(path, stop):
    """Another process: sees whole transactions or nothing of them."""
    with opened(path, readonly=True) as environment:
        looks = 0
        while looks == 0 or not stop.is_set():
            with environment.begin() as transaction:
                amounts = [int(transaction.get(b"account %d" % i)) for i in (1, 2)]
                for _ in transaction.cursor():
                    pass
            check(sum(amounts) == BALANCE, f"{path}: a reader saw {amounts}")
            looks += 1
            time.sleep(0.002)


def work(directory, name, options, truth_directory):
    path = os.path.join(directory, name)
    chance = random.Random(name)
    model = {}
    with opened(path, **options) as environment:
        with environment.begin(write=True) as transaction:
            change(chance, transaction, model)
        # An environment must not be taken along by fork().
        apart = multiprocessing.get_context("spawn")
        stop = apart.Event()
        reader = apart.Process(target=read_all_the_time, args=(path, stop))
        reader.start()
        try:
            for number in range(TRANSACTIONS):
                attempt = dict(model)
                transaction = environment.begin(write=True)
                change(chance, transaction, attempt)
                if chance.randrange(5):
                    transaction.commit()
                    model = attempt
                else:
                    transaction.abort()
                if number % 20 == 19:
                    check(content_of(environment) == model, f"{path}: transaction {number}")
        finally:
            stop.set()
            reader.join()
        check(reader.exitcode == 0, f"{path}: the reader ended with {reader.exitcode}")
        environment.sync(True)
        os.mkdir(path + "-copy")
        environment.copy(path + "-copy", compact=True)
    judge(path, model)
    judge(path + "-copy", model)
    with open(os.path.join(truth_directory, name), "w", encoding="utf-8") as file:
        json.dump({key.hex(): value.hex() for key, value in model.items()}, file)


def compare_with_truth(directory, name, _, truth_directory):
    with open(os.path.join(truth_directory, name), encoding="utf-8") as file:
        model = {bytes.fromhex(key): bytes.fromhex(value) for key, value in json.load(file).items()}
    for path in (os.path.join(directory, name), os.path.join(directory, name + "-copy")):
        judge(path, model, readonly=True, lock=False)


def main():
    action = {"work": work, "check": compare_with_truth}[sys.argv[1]]
    for name, options in SHAPES:
        action(sys.argv[2], name, options, sys.argv[3])


if __name__ == "__main__":  # the reader imports this file
    main()
