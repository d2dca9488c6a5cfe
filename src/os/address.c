/*
 * address.c - "host:port" and "[v6]:port": taking them apart, putting them together.
 *
 * The texts come from command lines, configuration and peers. A host without brackets has no colon, so
 * that "::1:80" is refused and not guessed at. Every port is a number.
 */
#include "os/internal.h"

#include "base/error.h"
#include "base/format.h"

#include <arpa/inet.h>
#include <string.h>

#define SHAPE "host:port or [v6-address]:port"

/* The host's bytes and where the port begins; false: not of that shape. */
static bool split(const char *text, struct cor_bytes *host, const char **port)
{
    const char *begin = text;
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return false;
    }
    const char *end = colon;
    if (*text == '[') {
        begin++;
        if (colon < text + 2 || colon[-1] != ']') {
            return false;
        }
        end--;
    } else if (memchr(text, ':', (size_t)(colon - text)) != NULL) {
        return false;
    }
    *host = (struct cor_bytes){(const unsigned char *)begin, (size_t)(end - begin)};
    *port = colon + 1;
    return true;
}

static bool read_port(const char *text, uint16_t *out)
{
    size_t len = strlen(text);
    if (len == 0 || len > 5) {
        return false;
    }
    unsigned port = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    *out = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* What a name or a literal may consist of; the rest would come out in logs and other people's
 * terminals. */
static bool is_host_text(struct cor_bytes host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] <= ' ' || host.ptr[i] >= 0x7f || strchr("[]/@", host.ptr[i]) != NULL) {
            return false;
        }
    }
    return host.len > 0;
}

enum cor_status os_address_parse(const char *text, struct os_address *out,
                                 struct cor_error *err)
{
    struct cor_bytes host;
    const char *port;
    struct os_address a;
    if (!split(text, &host, &port) || !is_host_text(host)) {
        return error_set(err, COR_EINVAL, "%.200s: an address is " SHAPE, text);
    }
    if (host.len >= sizeof a.host) {
        return error_set(err, COR_EINVAL, "%.80s...: the host is longer than %zu bytes", text,
                         sizeof a.host - 1);
    }
    if (!read_port(port, &a.port)) {
        return error_set(err, COR_EINVAL, "%.200s: a port is a number from 0 to 65535", text);
    }
    memcpy(a.host, host.ptr, host.len);
    a.host[host.len] = '\0';
    *out = a;
    return COR_OK;
}

static struct os_sockaddr of_v4(struct in_addr ip, uint16_t port)
{
    struct os_sockaddr s = {.len = sizeof s.u.v4};
    s.u.v4.sin_family = AF_INET;
    s.u.v4.sin_port = htons(port);
    s.u.v4.sin_addr = ip;
    return s;
}

static struct os_sockaddr of_v6(struct in6_addr ip, uint16_t port)
{
    struct os_sockaddr s = {.len = sizeof s.u.v6};
    s.u.v6.sin6_family = AF_INET6;
    s.u.v6.sin6_port = htons(port);
    s.u.v6.sin6_addr = ip;
    return s;
}

static bool is_localhost(const char *host)
{
    return strcmp(host, "localhost") == 0;
}

size_t os_address_literal(const struct os_address *a, struct os_sockaddr out[2])
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, a->host, &v4) == 1) {
        out[0] = of_v4(v4, a->port);
        return 1;
    }
    if (inet_pton(AF_INET6, a->host, &v6) == 1) {
        out[0] = of_v6(v6, a->port);
        return 1;
    }
    if (is_localhost(a->host)) { /* never asked of a resolver: RFC 6761, 6.3 */
        out[0] = of_v4((struct in_addr){htonl(INADDR_LOOPBACK)}, a->port);
        out[1] = of_v6((struct in6_addr)IN6ADDR_LOOPBACK_INIT, a->port);
        return 2;
    }
    return 0;
}

size_t os_address_list(const struct addrinfo *info, struct os_sockaddr *out, size_t max)
{
    size_t n = 0;
    for (; info != NULL && n < max; info = info->ai_next) {
        bool is_known = info->ai_family == AF_INET || info->ai_family == AF_INET6;
        if (is_known && info->ai_addrlen <= sizeof out[n].u) {
            out[n].len = info->ai_addrlen;
            memcpy(&out[n].u, info->ai_addr, info->ai_addrlen);
            n++;
        }
    }
    return n;
}

void os_address_format(const struct os_sockaddr *a, char *out, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (a->u.any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &a->u.v4.sin_addr, ip, sizeof ip);
        format_to(out, size, "%s:%u", ip, (unsigned)ntohs(a->u.v4.sin_port));
    } else if (a->u.any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &a->u.v6.sin6_addr, ip, sizeof ip);
        format_to(out, size, "[%s]:%u", ip, (unsigned)ntohs(a->u.v6.sin6_port));
    } else {
        format_to(out, size, "?");
    }
}

bool os_address_is_loopback(const char *text)
{
    struct os_address a;
    struct in_addr v4;
    struct in6_addr v6;
    if (os_address_parse(text, &a, NULL) != COR_OK) {
        return false;
    }
    if (inet_pton(AF_INET, a.host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, a.host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6) ||
               (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    }
    return is_localhost(a.host);
}
