/* run.c - see run.h. */
#include "sim/run.h"

#include <string.h>

void run_sum_up(struct cluster *c, const struct clients *clients,
                const struct watchers *watchers, const struct faults *faults,
                struct run_result *out)
{
    struct client_stats asked;
    struct watcher_stats watched = {0};
    clients_get_stats(clients, &asked);
    if (watchers != NULL) {
        watchers_get_stats(watchers, &watched);
    }
    *out = (struct run_result){.failed = c->judge.failed, .hash = c->world.hash};
    memcpy(out->text, c->judge.text, sizeof out->text);
    cluster_describe(c, out->cluster, sizeof out->cluster);
    out->totals = (struct run_totals){.runs = 1,
                                      .sim_ns = c->world.now,
                                      .events = c->world.n_events,
                                      .turns = c->world.n_turns,
                                      .starts = c->n_starts,
                                      .crashes = c->n_crashes,
                                      .checks = c->judge.n_checks,
                                      .disk_checks = c->n_disk_checks,
                                      .asked = asked.asked,
                                      .done = asked.done,
                                      .refused = asked.refused,
                                      .unknown = asked.unknown,
                                      .repeated = asked.repeated,
                                      .http = asked.http,
                                      .watched = watched.events,
                                      .conns = c->net.n_conns,
                                      .resets = c->net.n_resets,
                                      .stalls = c->net.n_stalls,
                                      .terms = c->judge.leaders.n,
                                      .ordered = c->judge.n_ordered,
                                      .undecided = c->judge.n_undecided};
    if (faults != NULL) {
        memcpy(out->totals.faults, faults_counts(faults), sizeof out->totals.faults);
    }
}

void run_totals_add(struct run_totals *to, const struct run_totals *from)
{
    uint64_t *a = (uint64_t *)(void *)to;
    const uint64_t *b = (const uint64_t *)(const void *)from;
    _Static_assert(sizeof *to % sizeof *a == 0, "all fields are counters");
    for (size_t i = 0; i < sizeof *to / sizeof *a; i++) {
        a[i] += b[i];
    }
}
