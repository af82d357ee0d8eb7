#define _GNU_SOURCE
#include "CPosix.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int CPosix_stream_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int CPosix_accept(int descriptor) { return accept4(descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

static int unix_address(struct sockaddr_un *address, const char *path) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}

int CPosix_bind_unix(int descriptor, const char *path) {
    struct sockaddr_un address;
    if (unix_address(&address, path) != 0) return -1;
    return bind(descriptor, (struct sockaddr *)&address, sizeof address);
}

int CPosix_connect_unix(int descriptor, const char *path) {
    struct sockaddr_un address;
    if (unix_address(&address, path) != 0) return -1;
    return connect(descriptor, (struct sockaddr *)&address, sizeof address);
}

static int set_number(int descriptor, int level, int option, int value) {
    return setsockopt(descriptor, level, option, &value, sizeof value);
}

int CPosix_tune_tcp(int descriptor, int seconds) {
    int result = set_number(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    result |= set_number(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
    // Silence for half of the time, then a probe each second.
    result |= set_number(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, seconds > 2 ? seconds / 2 : 1);
    result |= set_number(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    result |= set_number(descriptor, IPPROTO_TCP, TCP_KEEPCNT, seconds > 2 ? seconds - seconds / 2 : 1);
    result |= set_number(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, seconds * 1000);
    return result;
}

void CPosix_set_socket_buffers(int descriptor, int bytes) {
    // Root may go over net.core.wmem_max and rmem_max (SO_SNDBUFFORCE, socket(7)); anybody else gets what they allow.
    if (set_number(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, bytes) != 0) set_number(descriptor, SOL_SOCKET, SO_SNDBUF, bytes);
    if (set_number(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, bytes) != 0) set_number(descriptor, SOL_SOCKET, SO_RCVBUF, bytes);
}

void CPosix_tune_listener(int descriptor, int family) {
    set_number(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6) set_number(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 0);
}

int CPosix_socket_error(int descriptor) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

int CPosix_peer_address(int descriptor, char *text, size_t capacity) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[INET6_ADDRSTRLEN], port[8];
    if (getpeername(descriptor, (struct sockaddr *)&address, &length) != 0) return -1;
    if (getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return -1;
    int written = snprintf(text, capacity, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return written < 0 || (size_t)written >= capacity ? -1 : 0;
}

int CPosix_local_port(int descriptor) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(descriptor, (struct sockaddr *)&address, &length) != 0) return -1;
    if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return -1;
}
