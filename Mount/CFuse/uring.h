// liburing, in one module with libfuse3, since the headers of both declare what <sys/uio.h> does; and the commands of FUSE over io_uring
// (include/uapi/linux/fuse.h of Linux 6.14), which the headers of Debian 12 do not have yet.
#ifndef CFUSE_URING_H
#define CFUSE_URING_H

#include <liburing.h>
#include <string.h>
#include <sys/eventfd.h>

/// FUSE_IO_URING_CMD_REGISTER: gives the kernel a place for requests. Its two parts are given as an array of iovec.
static const uint32_t CFuse_uring_register = 1;
/// FUSE_IO_URING_CMD_COMMIT_AND_FETCH: the answer in a place is complete; another request may come into it.
static const uint32_t CFuse_uring_commit = 2;

/// Makes a ring for the calling thread alone, which learns of completions only when it waits for them. 0, or a negative error number.
static inline int CFuse_uring_open(struct io_uring *_Nonnull ring, unsigned entries, unsigned completions) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.cq_entries = completions;
    parameters.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    return io_uring_queue_init_params(entries, ring, &parameters);
}

/// An eventfd(2). -1 and errno on failure.
static inline int CFuse_uring_event(void) { return eventfd(0, EFD_CLOEXEC); }

/// The next free entry, after making room if there is none; NULL if the kernel does not take any.
static inline struct io_uring_sqe *_Nullable CFuse_uring_entry(struct io_uring *_Nonnull ring) {
    struct io_uring_sqe *entry = io_uring_get_sqe(ring);
    if (!entry && io_uring_submit(ring) >= 0) entry = io_uring_get_sqe(ring);
    if (entry) memset(entry, 0, 2 * sizeof *entry);
    return entry;
}

/// Queues a command to a FUSE device. `number` is that of the request that is answered, 0 at first. Whether there was room.
static inline int CFuse_uring_command(
    struct io_uring *_Nonnull ring, int device, uint32_t command, uint16_t queue, uint64_t number, const struct iovec *_Nullable parts, uint64_t tag) {
    struct io_uring_sqe *entry = CFuse_uring_entry(ring);
    // struct fuse_uring_cmd_req
    struct { uint64_t flags, number; uint16_t queue; uint8_t padding[6]; } body = {0, number, queue, {0}};
    if (!entry) return 0;
    entry->opcode = IORING_OP_URING_CMD;
    entry->fd = device;
    entry->cmd_op = command;
    entry->addr = (uint64_t)(uintptr_t)parts;
    entry->len = parts ? 2 : 0;
    entry->user_data = tag;
    memcpy(entry->cmd, &body, sizeof body);
    return 1;
}

/// Queues a read of 8 bytes from an eventfd. Whether there was room.
static inline int CFuse_uring_read_event(struct io_uring *_Nonnull ring, int event, uint64_t *_Nonnull value, uint64_t tag) {
    struct io_uring_sqe *entry = CFuse_uring_entry(ring);
    if (!entry) return 0;
    io_uring_prep_read(entry, event, value, sizeof *value, 0);
    entry->user_data = tag;
    return 1;
}

/// Takes a completion that has come. Whether there was one.
static inline int CFuse_uring_take(struct io_uring *_Nonnull ring, uint64_t *_Nonnull tag, int32_t *_Nonnull result) {
    struct io_uring_cqe *completion;
    if (io_uring_peek_cqe(ring, &completion) != 0) return 0;
    *tag = completion->user_data;
    *result = completion->res;
    io_uring_cqe_seen(ring, completion);
    return 1;
}

#endif
