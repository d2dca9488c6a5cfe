/* room: os
 *
 * address_fuzz.c - texts from command lines and peers, as addresses.
 *
 * What is accepted can be put together again and means the same then; a literal comes back as text that is
 * its own address; and what is loopback says so in both forms.
 */
#include "base/assert.h"
#include "base/format.h"
#include "os/internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char text[512], again[IO_ADDRESS_MAX];
    struct os_address a, b;
    struct os_sockaddr list[2];
    struct cor_error err;
    size_t len = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, len);
    text[len] = '\0';
    if (os_address_parse(text, &a, &err) != COR_OK) {
        COR_ASSERT(err.status == COR_EINVAL && !os_address_is_loopback(text));
        return 0;
    }
    bool has_colon = strchr(a.host, ':') != NULL;
    format_to(again, sizeof again, has_colon ? "[%s]:%u" : "%s:%u", a.host, (unsigned)a.port);
    COR_ASSERT(os_address_parse(again, &b, NULL) == COR_OK);
    COR_ASSERT(b.port == a.port && strcmp(a.host, b.host) == 0);
    if (os_address_literal(&a, list) > 0) {
        os_address_format(&list[0], again, sizeof again);
        COR_ASSERT(os_address_parse(again, &b, NULL) == COR_OK && b.port == a.port);
        COR_ASSERT(os_address_is_loopback(again) == os_address_is_loopback(text));
    }
    return 0;
}
