#include "mount/support/overlay.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

namespace alignfs::test {

Overlay::Overlay(const std::string& layers) : layers_(layers) {
  for (const char* name : {"/lower", "/upper", "/work"}) {
    if (mkdir((layers + name).c_str(), 0755) != 0) {
      throw std::system_error(errno, std::generic_category(), "mkdir");
    }
  }
  const std::string options =
      "lowerdir=" + layers + "/lower,upperdir=" + layers + "/upper,workdir=" + layers + "/work";
  if (::mount("overlay", path().c_str(), "overlay", 0, options.c_str()) != 0) {
    throw std::system_error(errno, std::generic_category(), "mount an overlay");
  }
}

Overlay::~Overlay() { unmount(path()); }

}  // namespace alignfs::test
