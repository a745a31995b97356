#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "alignfs/report/advice.h"
#include "alignfs/report/event.h"
#include "sample_event.h"

namespace alignfs {
namespace {

using Json = nlohmann::ordered_json;

Event numbered_event() {
  Event event = sample_event();
  event.seq = 17;
  event.time = {1795214281, 123456789};
  return event;
}

TEST(EventJson, AllFieldsToTheLetter) {
  Event event = numbered_event();
  Json json = Json::parse(to_json(event));
  EXPECT_EQ(json["text"], to_text(event));
  json["text"] = "...";
  EXPECT_EQ(json.dump(),
            R"({"seq":17,"time":"2026-11-20T22:38:01.123456Z","action":"rejected","op":"write",)"
            R"("syscall":"pwrite64","path":"/db/wal","pid":7318,"tid":7318,"uid":1000,)"
            R"("comm":"python3","buffer":"0x55e508d70880","offset":100,"length":1024,)"
            R"("required":{"memory":512,"offset":4096,"length":4096,"source":"option",)"
            R"("memory_source":"statx"},"broken":["memory","offset","length"],)"
            R"("nearest":{"offset":0,"length":4096},"errno":"EINVAL","text":"...","repeated":1})");
}

TEST(EventJson, EveryActionAndDirectionHasItsName) {
  Event event = numbered_event();
  event.direction = Direction::read;
  EXPECT_EQ(Json::parse(to_json(event))["op"], "read");
  event.action = Action::bounced;
  EXPECT_EQ(Json::parse(to_json(event))["action"], "bounced");
  event.action = Action::split;
  EXPECT_EQ(Json::parse(to_json(event))["action"], "split");
}

TEST(EventJson, UnseenIsNullWithTheReason) {
  const Json json =
      Json::parse(to_json(without_call(numbered_event(), "the caller is in system call 7")));
  EXPECT_TRUE(json["syscall"].is_null());
  EXPECT_TRUE(json["buffer"].is_null());
  EXPECT_EQ(json["offset"], 100);
  EXPECT_EQ(json["length"], 1024);
  EXPECT_EQ(json["unseen"], "the caller is in system call 7");
  EXPECT_EQ(json["broken"], (std::vector<std::string>{"offset", "length"}));
  EXPECT_FALSE(Json::parse(to_json(numbered_event())).contains("unseen"));
}

TEST(EventJson, EveryOtherNullHasAReasonToo) {
  Event event = numbered_event();
  event.path.clear();
  Json json = Json::parse(to_json(event));
  EXPECT_TRUE(json["path"].is_null());
  EXPECT_EQ(json["unseen"], "the file's path could not be read");

  event = numbered_event();
  event.process = {};
  event.process.tid = 7318;
  json = Json::parse(to_json(event));
  EXPECT_TRUE(json["pid"].is_null());
  EXPECT_TRUE(json["comm"].is_null());
  EXPECT_EQ(json["tid"], 7318);
  EXPECT_EQ(json["unseen"], "the caller's /proc entry could not be read");

  event = without_call(numbered_event(), "the kernel names no caller");
  event.process = {};
  json = Json::parse(to_json(event));
  EXPECT_TRUE(json["tid"].is_null());
  EXPECT_EQ(json["unseen"], "the kernel names no caller");
}

TEST(EventJson, VectorsCountTheirSegments) {
  Call call = sample_call();
  call.syscall = "pwritev";
  call.segments = {{0x1000, 512}, {0x2010, 512}};
  const Json json = Json::parse(to_json(refusal_of(call, sample_rules())));
  EXPECT_EQ(json["segments"], 2);
  EXPECT_EQ(json["buffer"], "0x1000");
  EXPECT_FALSE(Json::parse(to_json(sample_event())).contains("segments"));
}

TEST(EventJson, FallbackHasNoRequest) {
  Event event = numbered_event();
  event.action = Action::fallback;
  event.error = 0;
  event.view = {};
  event.diagnosis = {};
  event.cause = Fallback::refused;
  const Json json = Json::parse(to_json(event));
  EXPECT_EQ(json["action"], "fallback");
  EXPECT_EQ(json["op"], "open");
  for (const char* field : {"syscall", "buffer", "offset", "length", "nearest", "errno"}) {
    EXPECT_TRUE(json.at(field).is_null()) << field;
  }
  EXPECT_EQ(json["broken"], Json::array());
  EXPECT_EQ(json["reason"], reason_for(event.cause));
  EXPECT_TRUE(json.contains("unseen"));
}

TEST(EventJson, AnyBytesInNamesGiveOneAsciiLineOfValidJson) {
  Event event = numbered_event();
  event.path = "/caf\xc3\xa9\n\x1b[2J\x7f\xff\xc2\x9b\"\\";
  event.process.comm = "\xfe\xfe";
  const std::string line = to_json(event);
  for (const unsigned char byte : line) EXPECT_TRUE(byte >= 0x20 && byte < 0x7f) << int(byte);
  const Json json = Json::parse(line);
  EXPECT_EQ(json["path"], "/caf\xc3\xa9\n\x1b[2J\x7f\xef\xbf\xbd\xc2\x9b\"\\");
  EXPECT_EQ(json["comm"], "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(EventJson, RepeatedIsTheLastField) {
  Event event = numbered_event();
  event.repeated = 41;
  event.action = Action::fallback;
  EXPECT_TRUE(to_json(event).ends_with(R"("repeated":41})"));
}

}  // namespace
}  // namespace alignfs
