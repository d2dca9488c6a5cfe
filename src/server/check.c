/*
 * check.c - options and directories that cannot work, refused before anything is made or changed.
 *
 * Every text says what is wrong and what to do; it names options as `coracle serve` does, because the server is this
 * library's first user.
 */
#include "server/internal.h"

#include "base/error.h"
#include "wal/wal.h"

#include <string.h>

#define TIME_MAX_MS 3600000u /* so that sums of times are far from any limit */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '.' || c == '_' || c == '-';
}

static enum cor_status check_name(const char *name, struct cor_error *err)
{
    size_t len = strlen(name), ok = 0;
    while (ok < len && is_name_byte(name[ok])) {
        ok++;
    }
    if (len == 0 || len > WAL_NAME_MAX || ok < len) {
        return error_set(
            err, COR_EINVAL,
            "the name '%.80s' is not one: 1 to %u letters, digits, '.', '_' or '-'", name,
            WAL_NAME_MAX);
    }
    return COR_OK;
}

/* The port after the last colon of @address, UINT32_MAX if it has none. */
static uint32_t port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    uint32_t port = 0;
    if (colon == NULL || colon[1] == '\0') {
        return UINT32_MAX;
    }
    for (const char *at = colon + 1; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || port > 65535) {
            return UINT32_MAX;
        }
        port = port * 10 + (uint32_t)(*at - '0');
    }
    return port <= 65535 ? port : UINT32_MAX;
}

/* HOST:PORT, with brackets around a host that has colons itself. */
static bool is_address(const char *address, bool any_port)
{
    uint32_t port = port_of(address);
    if (port == UINT32_MAX || (port == 0 && !any_port) || strlen(address) > WAL_ADDRESS_MAX) {
        return false;
    }
    size_t host = (size_t)(strrchr(address, ':') - address);
    if (address[0] == '[') {
        return host > 2 && address[host - 1] == ']' && memchr(address, ' ', host) == NULL;
    }
    return host > 0 && memchr(address, ':', host) == NULL &&
           memchr(address, '/', host) == NULL && memchr(address, ' ', host) == NULL &&
           memchr(address, '=', host) == NULL;
}

static enum cor_status bad_address(struct cor_error *err, const char *what, const char *address)
{
    return error_set(
        err, COR_EINVAL,
        "%s '%.100s' is not an address: HOST:PORT, as in 127.0.0.1:2379 or [::1]:2379", what,
        address);
}

static enum cor_status check_beyond(const struct cor_options *o, const char *what,
                                    const char *address, struct cor_error *err)
{
    if (o->insecure || os_address_is_loopback(address)) {
        return COR_OK;
    }
    return error_set(
        err, COR_EINVAL,
        "%s %.100s is beyond loopback, and there is no authentication yet: whoever "
        "reaches it can read and write everything. Listen on 127.0.0.1, or give "
        "--insecure",
        what, address);
}

static enum cor_status check_listen(const struct cor_options *o, struct cor_error *err)
{
    if (o->n_listen > SERVER_LISTEN_MAX) {
        return error_set(err, COR_EINVAL, "--listen: at most %u addresses", SERVER_LISTEN_MAX);
    }
    for (size_t i = 0; i < o->n_listen; i++) {
        if (!is_address(o->listen[i], true)) {
            return bad_address(err, "--listen", o->listen[i]);
        }
        enum cor_status st = check_beyond(o, "--listen", o->listen[i], err);
        if (st != COR_OK) {
            return st;
        }
    }
    if (o->advertise != NULL && !is_address(o->advertise, false)) {
        return bad_address(err, "--advertise", o->advertise);
    }
    return COR_OK;
}

static enum cor_status check_members(const struct cor_options *o, struct cor_error *err)
{
    if (o->n_members > COR_RAFT_MEMBERS_MAX) {
        return error_set(err, COR_EINVAL, "--cluster: at most %u members",
                         COR_RAFT_MEMBERS_MAX);
    }
    for (size_t i = 0; i < o->n_members; i++) {
        const struct cor_member_address *m = &o->members[i];
        enum cor_status st = check_name(m->name, err);
        if (st != COR_OK) {
            (void)error_prefix(err, "--cluster");
            return st;
        }
        if (!is_address(m->address, false)) {
            return bad_address(err, "--cluster", m->address);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(o->members[k].name, m->name) == 0) {
                return error_set(err, COR_EINVAL, "--cluster: %s is listed twice", m->name);
            }
            if (strcmp(o->members[k].address, m->address) == 0) {
                return error_set(err, COR_EINVAL,
                                 "--cluster: %s and %s have the same address %s",
                                 o->members[k].name, m->name, m->address);
            }
        }
    }
    return COR_OK;
}

/* Where this node listens for its peers: its own line of the cluster, unless told otherwise. */
static enum cor_status check_self(const struct cor_options *o, const char *name,
                                  struct cor_error *err)
{
    if (o->peer_listen != NULL && !is_address(o->peer_listen, false)) {
        return bad_address(err, "--peer-listen", o->peer_listen);
    }
    if (o->n_members == 0) {
        return o->peer_listen == NULL
                   ? COR_OK
                   : error_set(err, COR_EINVAL,
                               "--peer-listen without --cluster: a single node has no peers");
    }
    for (size_t i = 0; i < o->n_members; i++) {
        if (strcmp(o->members[i].name, name) == 0) {
            return check_beyond(o, o->peer_listen != NULL ? "--peer-listen" : "--cluster",
                                o->peer_listen != NULL ? o->peer_listen : o->members[i].address,
                                err);
        }
    }
    return error_set(
        err, COR_EINVAL,
        "--cluster does not list this node, '%s': add %s=HOST:PORT to it, or say with "
        "--name which of its members this is",
        name, name);
}

static enum cor_status check_times(const struct cor_options *o, struct cor_error *err)
{
    uint64_t heartbeat = o->heartbeat_ms != 0 ? o->heartbeat_ms : 50;
    uint64_t min = o->election_min_ms != 0 ? o->election_min_ms : 250;
    uint64_t max = o->election_max_ms != 0 ? o->election_max_ms : 500;
    if (max > TIME_MAX_MS || o->request_timeout_ms > TIME_MAX_MS) {
        return error_set(err, COR_EINVAL, "%s: at most an hour",
                         max > TIME_MAX_MS ? "--election" : "--request-timeout");
    }
    if (min >= max) {
        return error_set(err, COR_EINVAL,
                         "--election: the smaller time (%llu ms) comes first, then the larger",
                         (unsigned long long)min);
    }
    if (heartbeat > min / 2) {
        return error_set(
            err, COR_EINVAL,
            "--heartbeat %llums is too slow for --election from %llums: it must be at "
            "most half of it",
            (unsigned long long)heartbeat, (unsigned long long)min);
    }
    return COR_OK;
}

enum cor_status check_options(const struct cor_options *o, struct cor_error *err)
{
    const char *name = o->name != NULL ? o->name : "default";
    if (o->data_dir == NULL || o->data_dir[0] == '\0') {
        return error_set(err, COR_EINVAL, "--data-dir: no directory is given");
    }
    enum cor_status st = check_name(name, err);
    st = st == COR_OK ? check_listen(o, err) : st;
    st = st == COR_OK ? check_members(o, err) : st;
    st = st == COR_OK ? check_self(o, name, err) : st;
    return st == COR_OK ? check_times(o, err) : st;
}

/* ---- the directory --------------------------------------------------------------------------------- */

struct stranger {
    char name[IO_NAME_MAX + 1];
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* A start that crashed may leave a temporary file; the root of an ext4 file system has lost+found. */
static void find_stranger(void *arg, const char *name)
{
    struct stranger *s = arg;
    if (s->name[0] == '\0' && !has_suffix(name, ".tmp") && strcmp(name, "lost+found") != 0) {
        size_t len = strlen(name);
        len = len < IO_NAME_MAX ? len : IO_NAME_MAX;
        memcpy(s->name, name, len);
    }
}

enum cor_status check_directory(struct io_fs *fs, const char *path, struct cor_error *err)
{
    struct superblock sb;
    if (superblock_read(fs, &sb, NULL) != COR_ENOTFOUND) {
        return COR_OK; /* a node's; node_open() looks closer */
    }
    struct stranger s = {{0}};
    enum cor_status st = fs->ops->list(fs, find_stranger, &s, err);
    if (st != COR_OK || s.name[0] == '\0') {
        return st;
    }
    return error_set(
        err, COR_EFOREIGN,
        "%.100s holds '%s' and no state file, so it is not a node's data directory; "
        "give an empty or a new one (--data-dir)",
        path, s.name);
}
