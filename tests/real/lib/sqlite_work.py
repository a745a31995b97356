"""Works on SQLite databases in a directory, and judges them by databases in memory.

    sqlite_work.py work DIRECTORY TRUTH     makes the databases; TRUTH gets a dump of each
    sqlite_work.py check DIRECTORY TRUTH    compares them with the dumps
"""

import json
import multiprocessing
import os
import random
import sqlite3
import sys
import time

MAPPED = 256 << 20

# Name, journal mode, PRAGMA mmap_size, PRAGMA page_size: 1024 bytes are a quarter of a block.
SHAPES = (
    ("wal", "wal", 0, 4096),
    ("wal-mapped", "wal", MAPPED, 1024),
    ("rollback", "delete", 0, 1024),
    ("rollback-mapped", "delete", MAPPED, 4096),
    ("truncated-journal-mapped", "truncate", MAPPED, 65536),
)
TRANSACTIONS = 30


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def connect(path, mapped):
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute(f"PRAGMA mmap_size={mapped}")
    # Few pages in SQLite's own cache, so that the file is read.
    connection.execute("PRAGMA cache_size=20")
    return connection


def create(connection):
    connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, body BLOB)")
    connection.execute("CREATE INDEX names ON items (name)")
    # Both always change together: what a reader sees of them must agree.
    connection.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER)")
    connection.executemany("INSERT INTO accounts VALUES (?, 1000)", [(1,), (2,)])


def statements(chance, number):
    """One transaction: statements with their values, and whether it is to be kept."""
    amount = chance.randrange(100)
    yield "UPDATE accounts SET amount = amount - ? WHERE id = 1", (amount,)
    for _ in range(chance.randrange(1, 30)):
        key = chance.randrange(400)
        kind = chance.randrange(10)
        if kind < 6:
            body = chance.randbytes(chance.choice((10, 500, 5000, 40000)))
            yield "INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (key, f"name {number}", body)
        elif kind < 8:
            yield "UPDATE items SET name = ? WHERE id % 50 = ?", (f"changed {number}", key % 50)
        else:
            yield "DELETE FROM items WHERE id BETWEEN ? AND ?", (key, key + 5)
    yield "UPDATE accounts SET amount = amount + ? WHERE id = 2", (amount,)


def rows_of(connection):
    return (connection.execute("SELECT id, name, hex(body) FROM items ORDER BY id").fetchall()
            + connection.execute("SELECT id, amount FROM accounts ORDER BY id").fetchall())


def judge(path, mapped, rows):
    connection = connect(path, mapped)
    complaints = connection.execute("PRAGMA integrity_check").fetchall()
    check(complaints == [("ok",)], f"{path}: {complaints}")
    check(rows_of(connection) == rows, f"{path}: not the rows of the database in memory")
    by_index = connection.execute("SELECT count(*) FROM items INDEXED BY names").fetchone()[0]
    check(by_index == len(rows) - 2, f"{path}: the index has {by_index} rows")
    connection.close()


def read_all_the_time(path, mapped, stop):
    """Another process: sees whole transactions or nothing of them."""
    connection = connect(path, mapped)
    looks = 0
    while looks == 0 or not stop.is_set():
        total = connection.execute("SELECT sum(amount) FROM accounts").fetchone()[0]
        check(total == 2000, f"{path}: a reader saw half a transaction, {total}")
        connection.execute("SELECT sum(length(body)) FROM items").fetchone()
        looks += 1
        time.sleep(0.002)


def work(directory, shape, truth_directory):
    name, journal, mapped, page = shape
    path = os.path.join(directory, name)
    chance = random.Random(name)
    connection = connect(path, mapped)
    connection.execute(f"PRAGMA page_size={page}")
    check(connection.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal,
          f"{path}: SQLite could not have its journal")
    check(connection.execute("PRAGMA mmap_size").fetchone()[0] == mapped, f"{path}: mmap_size")
    truth = sqlite3.connect(":memory:", isolation_level=None)
    for database in (connection, truth):
        create(database)

    stop = multiprocessing.Event()
    reader = multiprocessing.Process(target=read_all_the_time, args=(path, mapped, stop))
    reader.start()
    try:
        for number in range(TRANSACTIONS):
            keep = "COMMIT" if chance.randrange(5) else "ROLLBACK"
            todo = list(statements(chance, number))
            for database in (connection, truth):
                database.execute("BEGIN IMMEDIATE")
                for statement, values in todo:
                    database.execute(statement, values)
                database.execute(keep)
            if number % 10 == 9:
                check(rows_of(connection) == rows_of(truth), f"{path}: transaction {number}")
            if number % 12 == 11 and journal == "wal":
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        stop.set()
        reader.join()
    check(reader.exitcode == 0, f"{path}: the reader ended with {reader.exitcode}")

    # The file shrinks while it is mapped, and grows again.
    for database in (connection, truth):
        database.execute("DELETE FROM items WHERE id > 100")
    connection.execute("VACUUM")
    for database in (connection, truth):
        database.execute("INSERT INTO items SELECT id + 1000, name, body FROM items")
    rows = rows_of(truth)
    connection.close()
    judge(path, mapped, rows)
    judge(path, 0, rows)
    with open(os.path.join(truth_directory, name), "w", encoding="utf-8") as file:
        json.dump(rows, file)


def compare_with_dump(directory, shape, truth_directory):
    name, _, mapped, _ = shape
    with open(os.path.join(truth_directory, name), encoding="utf-8") as file:
        rows = [tuple(row) for row in json.load(file)]
    judge(os.path.join(directory, name), mapped, rows)


def main():
    action = {"work": work, "check": compare_with_dump}[sys.argv[1]]
    for shape in SHAPES:
        action(sys.argv[2], shape, sys.argv[3])


main()
