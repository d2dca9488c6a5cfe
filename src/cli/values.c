/*
 * values.c - what people write for numbers, durations and sizes; and what they likely meant by a name.
 */
#include "cli/options.h"

#include "base/assert.h"

#include <string.h>

#define NAME_MAX_COMPARED 32u

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", UINT64_C(60) * 1000000000},
    {"h", UINT64_C(3600) * 1000000000},
    {"d", UINT64_C(86400) * 1000000000},
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", UINT64_C(1000000000000)},
};

/* Digits at *text, which is moved past them. */
static bool take_digits(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t v = 0;
    while (*at >= '0' && *at <= '9') {
        unsigned digit = (unsigned)(*at - '0');
        if (v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
        at++;
    }
    bool any = at != *text;
    *text = at;
    *out = v;
    return any;
}

static const struct unit *find_unit(const struct unit *units, size_t n, const char *name,
                                    size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

/* Add @n units to *sum. */
static bool add_units(uint64_t *sum, uint64_t n, const struct unit *unit)
{
    if (unit == NULL || n > (UINT64_MAX - *sum) / unit->factor) {
        return false;
    }
    *sum += n * unit->factor;
    return true;
}

bool parse_number(const char *text, uint64_t *out)
{
    uint64_t v;
    if (!take_digits(&text, &v) || *text != '\0') {
        return false;
    }
    *out = v;
    return true;
}

bool parse_duration(const char *text, uint64_t *out)
{
    uint64_t sum = 0;
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return true;
    }
    do {
        uint64_t n;
        if (!take_digits(&text, &n)) {
            return false;
        }
        size_t len = strcspn(text, "0123456789");
        if (!add_units(&sum, n,
                       find_unit(duration_units, ARRAY_LEN(duration_units), text, len))) {
            return false;
        }
        text += len;
    } while (*text != '\0');
    *out = sum;
    return true;
}

bool parse_size(const char *text, uint64_t *out)
{
    uint64_t n, sum = 0;
    if (!take_digits(&text, &n) ||
        !add_units(&sum, n, find_unit(size_units, ARRAY_LEN(size_units), text, strlen(text)))) {
        return false;
    }
    *out = sum;
    return true;
}

/* ---- suggestions ----------------------------------------------------------------------------------- */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* How many letters must be added, removed, changed or swapped with their neighbor (restricted Damerau distance).
 * Longer names than NAME_MAX_COMPARED are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > NAME_MAX_COMPARED || m > NAME_MAX_COMPARED) {
        return SIZE_MAX;
    }
    size_t rows[3][NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = min3(above[j] + 1, now[j - 1] + 1, change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                above2[j - 2] + 1 < now[j]) {
                now[j] = above2[j - 2] + 1;
            }
        }
    }
    return rows[n % 3][m];
}

void suggestion_offer(struct suggestion *s, const char *name)
{
    size_t len = strlen(s->wanted);
    size_t d = len >= 3 && strncmp(name, s->wanted, len) == 0 ? 1 : distance(s->wanted, name);
    size_t close = len < 4 ? 1 : (len < 9 ? 2 : 3);
    if (d <= close && (s->best == NULL || d < s->distance)) {
        s->best = name;
        s->distance = d;
    }
}
