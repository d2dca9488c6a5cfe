/*
 * world.c - see world.h. The loop is world_step(); turns belong to hosts (host.c).
 */
#include "sim/world.h"

#include "base/assert.h"
#include "sim/host.h"

#include <inttypes.h>

void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed, .now = SIM_S, .hash = seed};
    agenda_init(&w->agenda);
    for (uint64_t i = 0; i < SIM_N_RANDOM; i++) {
        struct prng p = {seed ^ (0x5851f42d4c957f2du * (i + 1))};
        w->random[i].state = prng_next(&p);
    }
}

void world_deinit(struct world *w)
{
    COR_ASSERT(agenda_next(&w->agenda) == NULL);
    agenda_deinit(&w->agenda);
}

void event_init(struct sim_event *e, struct world *w, struct host *host, enum sim_note kind,
                void (*fire)(struct sim_event *e))
{
    *e = (struct sim_event){.world = w, .host = host, .kind = (uint8_t)kind, .fire = fire};
}

void event_at(struct sim_event *e, uint64_t at)
{
    struct world *w = e->world;
    event_clear(e);
    agenda_set(&w->agenda, &e->timer, at > w->now ? at : w->now);
}

void event_clear(struct sim_event *e)
{
    if (e->held) {
        host_release(e->host, e);
    }
    if (e->timer.slot != 0) {
        agenda_clear(&e->world->agenda, &e->timer);
    }
}

bool event_is_set(const struct sim_event *e)
{
    return e->held || e->timer.slot != 0;
}

static struct sim_event *pop(struct world *w)
{
    struct io_timer *t = agenda_next(&w->agenda);
    if (t == NULL) {
        return NULL;
    }
    COR_ASSERT(t->at >= w->now);
    w->now = t->at;
    agenda_clear(&w->agenda, t);
    w->n_events++;
    return CONTAINER_OF(t, struct sim_event, timer);
}

struct sim_event *world_take_same_moment(struct world *w, const struct host *host)
{
    struct io_timer *t = agenda_next(&w->agenda);
    if (t == NULL || t->at != w->now) {
        return NULL;
    }
    const struct sim_event *e = CONTAINER_OF(t, struct sim_event, timer);
    return e->host == host ? pop(w) : NULL;
}

bool world_step(struct world *w)
{
    struct sim_event *e = pop(w);
    if (e == NULL) {
        return false;
    }
    struct host *host = e->host;
    if (host != NULL) {
        if (!host_take(host, e)) {
            return true; /* busy or paused: it waits with the others */
        }
        w->n_turns++;
    } else {
        world_note(w, (enum sim_note)e->kind, 0, e->timer.order, 0);
        e->fire(e);
    }
    if (w->after != NULL) {
        w->after(w->after_arg, host);
    }
    return true;
}

void world_run(struct world *w, uint64_t until)
{
    for (;;) {
        const struct io_timer *next = agenda_next(&w->agenda);
        if (next == NULL || next->at > until) {
            break;
        }
        (void)world_step(w);
    }
    w->now = until > w->now ? until : w->now;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9fb21c651e98df25u;
    return h ^ (h >> 32);
}

static const char *const note_names[] = {
    [SIM_NOTE_TIMER] = "timer",      [SIM_NOTE_WORK_RUN] = "work",
    [SIM_NOTE_WORK_DONE] = "worked", [SIM_NOTE_NET_ARRIVE] = "arrive",
    [SIM_NOTE_NET_CLOSE] = "close",  [SIM_NOTE_WAKE] = "wake",
    [SIM_NOTE_REQUEST] = "request",  [SIM_NOTE_ANSWER] = "answer",
    [SIM_NOTE_FAULT] = "fault",      [SIM_NOTE_START] = "start",
    [SIM_NOTE_EVENT] = "event",      [SIM_NOTE_STATE] = "state",
};

void world_note(struct world *w, enum sim_note kind, unsigned host, uint64_t a, uint64_t b)
{
    w->hash = mix(mix(mix(mix(w->hash, w->now), (uint64_t)kind << 32 | host), a), b);
    if (w->trace != NULL) {
        (void)fprintf(w->trace, "%12" PRIu64 ".%03u n%u %s %" PRIu64 " %" PRIx64 "\n",
                      w->now / SIM_US, (unsigned)(w->now % SIM_US), host, note_names[kind], a,
                      b);
    }
}

void world_say(struct world *w, unsigned host, const char *text)
{
    if (w->trace != NULL) {
        (void)fprintf(w->trace, "%12" PRIu64 ".%03u n%u # %s\n", w->now / SIM_US,
                      (unsigned)(w->now % SIM_US), host, text);
    }
}

uint64_t world_random(struct world *w, enum sim_random stream)
{
    return prng_next(&w->random[stream]);
}

uint64_t world_below(struct world *w, enum sim_random stream, uint64_t bound)
{
    return prng_below(&w->random[stream], bound);
}

bool world_chance(struct world *w, enum sim_random stream, unsigned permille)
{
    return world_below(w, stream, 1000) < permille;
}

uint64_t world_delay(struct world *w, enum sim_random stream, struct sim_delay d)
{
    uint64_t extra = d.spread == 0 ? 0 : world_below(w, stream, 2 * d.spread);
    return d.min + (world_below(w, stream, 50) == 0 ? extra * 10 : extra);
}
