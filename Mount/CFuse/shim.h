// libfuse3's low-level API. The version macro must be defined before the header is read; 312 is the newest API of 3.14,
// the version in Debian 12.
#ifndef CFUSE_SHIM_H
#define CFUSE_SHIM_H

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>
#include <fuse3/fuse_log.h>

#endif
