#include "alignfs/fuse/machine_setting.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "unit/scratch_folder.h"

namespace alignfs::kernel {
namespace {

class MachineSettingTest : public testing::Test {
 protected:
  MachineSettingTest() { std::ofstream(path_) << "256\n"; }
  Result<MachineSetting> open(int flags) const {
    return MachineSetting::open(path_.c_str(), flags);
  }

  ScratchFolder folder_;
  const std::string path_ = folder_ / "setting";
};

TEST_F(MachineSettingTest, IsReadWithoutTheEndOfItsLineAndWritten) {
  auto setting = open(O_RDWR);
  ASSERT_TRUE(setting);
  EXPECT_EQ(setting->read(), "256");
  EXPECT_TRUE(setting->write("257"));
  EXPECT_EQ(setting->read(), "257");
}

TEST_F(MachineSettingTest, ThatIsNotThereIsToldFromOneThatMayNotBeWritten) {
  EXPECT_EQ(MachineSetting::open((path_ + "s").c_str(), O_RDONLY).code(), ENOENT);
  auto setting = open(O_RDONLY);
  ASSERT_TRUE(setting);
  EXPECT_EQ(setting->write("257").code(), EBADF);
  EXPECT_EQ(setting->read(), "256");
}

TEST_F(MachineSettingTest, IsChangedByOneAfterAnother) {
  using std::chrono::milliseconds;
  auto second = open(O_RDWR);
  ASSERT_TRUE(second);
  {
    auto first = open(O_RDWR);
    ASSERT_TRUE(first && first->take_turn());
    EXPECT_EQ(second->take_turn(milliseconds(20)).code(), EBUSY);
  }
  EXPECT_TRUE(second->take_turn(milliseconds(0)));
}

}  // namespace
}  // namespace alignfs::kernel
