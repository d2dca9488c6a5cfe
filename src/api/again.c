/*
 * again.c - connections that go on in the next turn, and how much one turn may bring.
 *
 * Place in the system: conn.c stops when a reader has not taken what it was sent, or when all connections
 * together have made as many bytes as one turn may; here they stand in line. Without that limit thousands of
 * readers that ask for much, and do not read, would each get their share of the same turn, before
 * anybody could see that they do not read: that is memory without limit, and a turn of seconds.
 *
 * Each turn everyone in line is looked at, for what waits for a reader is counted there; those that did not
 * get a share are first in the next turn.
 */
#include "api/internal.h"

static void append(struct line *l, struct conn *c)
{
    c->next_again = NULL;
    c->again = l->end;
    *l->end = c;
    l->end = &c->next_again;
}

static struct conn *pop(struct line *l)
{
    struct conn *c = l->first;
    l->first = c->next_again;
    if (l->first == NULL) {
        l->end = &l->first;
    } else {
        l->first->again = &l->first;
    }
    c->again = NULL;
    return c;
}

void again_leave(struct conn *c)
{
    struct line *l = &c->api->again;
    if (c->again == NULL) {
        return;
    }
    *c->again = c->next_again;
    if (c->next_again != NULL) {
        c->next_again->again = c->again;
    } else {
        l->end = c->again;
    }
    c->again = NULL;
}

void conn_run_again(struct conn *c)
{
    struct api *api = c->api;
    if (c->again != NULL) {
        return;
    }
    if (api->again.first == NULL) {
        io_timer_set(api->io, &api->next_turn, api_now(api));
    }
    append(&api->again, c);
}

bool api_is_spent(const struct api *api)
{
    return api->spent >= API_TURN_MAX;
}

/* Nobody but the connection at hand leaves the line meanwhile, and who enters it waits for the turn after this. */
static void on_next_turn(struct io_timer *timer)
{
    struct api *api = CONTAINER_OF(timer, struct api, next_turn);
    struct line late = {.end = &late.first};
    size_t n = 0;
    for (const struct conn *c = api->again.first; c != NULL; c = c->next_again) {
        n++;
    }
    for (; n > 0; n--) {
        struct conn *c = pop(&api->again);
        if (!conn_go_on(c)) {
            append(&late, c);
        }
    }
    if (late.first != NULL) { /* before those that were served */
        *late.end = api->again.first;
        if (api->again.first != NULL) {
            api->again.first->again = late.end;
        } else {
            api->again.end = late.end;
        }
        api->again.first = late.first;
        late.first->again = &api->again.first;
    }
    if (api->again.first != NULL) {
        io_timer_set(api->io, &api->next_turn, api_now(api));
    }
}

void again_init(struct api *api)
{
    api->again.end = &api->again.first;
    api->next_turn.fire = on_next_turn;
}

void again_deinit(struct api *api)
{
    COR_ASSERT(api->again.first == NULL);
    io_timer_clear(api->io, &api->next_turn);
}
