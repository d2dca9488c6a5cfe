/*
 * main.c - coracle-sim: run seeds or scenarios, say what broke and how to see it again.
 *
 * Output: totals on stdout; what broke on stderr, with the sentence, the options and the command that replays it.
 * Exit: 0 all is well, 1 something broke, 2 it was called wrongly or could not write.
 */
#include "sim/scenario.h"
#include "sim/swarm.h"

#include "base/attr.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: coracle-sim [--seed N | --seeds A..B | --time 60s] [--scenario NAME] [--trace "
    "FILE]\n"
    "       coracle-sim --list\n"
    "\n"
    "Run whole clusters on virtual time, with faults, and judge what they did. One seed, one "
    "run,\n"
    "the same each time. Without arguments: --seeds 1..10.\n"
    "\n"
    "  --seed N         this seed\n"
    "  --seeds A..B     these, A and B included\n"
    "  --time T         new seeds for so long: 90, 60s, 10m, 2h\n"
    "  --scenario NAME  this story instead of random faults\n"
    "  --list           the stories\n"
    "  --trace FILE     write down everything that happens (one seed; \"-\": to stdout)\n"
    "  --help\n"
    "\n"
    "exit: 0 all is well, 1 something broke, 2 wrong usage\n";

struct job {
    uint64_t first, last;
    uint64_t seconds; /* 0: by seeds */
    const struct scenario *scenario;
    const char *trace;
    bool list, help;
};

/* What runs now, for the last words of a failed assertion. */
static struct {
    const struct job *job;
    uint64_t seed;
} present;

/* Also called when an assertion of the code under test has failed: abort() then was called on this very thread, outside
 * of stdio, so what a signal handler may not do otherwise is fine. NOLINTBEGIN(bugprone-signal-handler) */
static void print_replay(FILE *out)
{
    if (present.job->scenario != NULL) {
        (void)fprintf(out, "replay: coracle-sim --scenario %s --seed %" PRIu64 "\n",
                      present.job->scenario->name, present.seed);
        return;
    }
    struct swarm_options o;
    swarm_draw(present.seed, &o);
    swarm_print(&o, out);
    (void)fprintf(out, "replay: coracle-sim --seed %" PRIu64 "\n", present.seed);
}

static void on_abort(int number)
{
    (void)number;
    print_replay(stderr);
}
/* NOLINTEND(bugprone-signal-handler) */

static void run_one(FILE *trace, struct run_result *out)
{
    if (present.job->scenario != NULL) {
        scenario_run(present.job->scenario, present.seed, trace, out);
        return;
    }
    struct swarm_options o;
    swarm_draw(present.seed, &o);
    swarm_run(&o, trace, out);
}

static void print_failure(const struct run_result *r)
{
    (void)fprintf(stderr, "seed %" PRIu64 " broke at %" PRIu64 ".%06" PRIu64 " s: %s\n%s\n",
                  present.seed, r->totals.sim_ns / SIM_S, r->totals.sim_ns % SIM_S / SIM_US,
                  r->text, r->cluster);
    print_replay(stderr);
}

static void print_totals(const struct run_totals *t)
{
    (void)printf("%" PRIu64 " runs, %" PRIu64 " s simulated, %" PRIu64 " events, %" PRIu64
                 " turns, %" PRIu64 " checks, %" PRIu64 " looks at all disks\n",
                 t->runs, t->sim_ns / SIM_S, t->events, t->turns, t->checks, t->disk_checks);
    (void)printf("requests: %" PRIu64 ", done %" PRIu64 ", refused %" PRIu64
                 ", unknown %" PRIu64 ", numbered and repeated %" PRIu64 ", by HTTP %" PRIu64
                 "; events to watchers %" PRIu64 "\n",
                 t->asked, t->done, t->refused, t->unknown, t->repeated, t->http, t->watched);
    (void)printf("nodes: starts %" PRIu64 ", ends %" PRIu64 ", terms with a leader %" PRIu64
                 "; connections %" PRIu64 ", resets %" PRIu64 ", stalls %" PRIu64 "\n",
                 t->starts, t->crashes, t->terms, t->conns, t->resets, t->stalls);
    (void)printf("linearizable: requests %" PRIu64 ", keys undecided %" PRIu64 "\n", t->ordered,
                 t->undecided);
    bool any = false;
    for (unsigned i = 0; i < N_FAULTS; i++) {
        if (t->faults[i] > 0) {
            (void)printf("%s %s %" PRIu64,
                         any ? "," : "faults:", fault_name((enum fault_kind)i), t->faults[i]);
            any = true;
        }
    }
    (void)printf("%s", any ? "\n" : "");
}

/* ---- the command line --------------------------------------------------------------------------------- */

/* Digits, then @end. */
static bool read_number(const char *text, const char *end, uint64_t *out)
{
    uint64_t n = 0;
    if (*text < '0' || *text > '9') {
        return false;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        if (n > (UINT64_MAX - 9) / 10) {
            return false;
        }
        n = 10 * n + (uint64_t)(*text - '0');
    }
    *out = n;
    return strcmp(text, end) == 0;
}

static bool read_seeds(const char *text, struct job *job)
{
    char first[24];
    const char *dots = strstr(text, "..");
    size_t len = dots == NULL ? 0 : (size_t)(dots - text);
    if (len == 0 || len >= sizeof first) {
        return false;
    }
    memcpy(first, text, len);
    first[len] = '\0';
    return read_number(first, "", &job->first) && read_number(dots + 2, "", &job->last) &&
           job->first <= job->last;
}

static bool read_time(const char *text, struct job *job)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}};
    uint64_t n;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (read_number(text, units[i].unit, &n) && n > 0 && n < 1000000) {
            job->seconds = n * units[i].seconds;
            return true;
        }
    }
    return false;
}

static bool read_value(const char *name, const char *value, struct job *job)
{
    if (strcmp(name, "--seed") == 0) {
        bool ok = read_number(value, "", &job->first);
        job->last = job->first;
        return ok;
    }
    if (strcmp(name, "--seeds") == 0) {
        return read_seeds(value, job);
    }
    if (strcmp(name, "--time") == 0) {
        return read_time(value, job);
    }
    if (strcmp(name, "--scenario") == 0) {
        job->scenario = scenario_find(value);
        return job->scenario != NULL;
    }
    job->trace = value;
    return true;
}

static bool read_arguments(int argc, char **argv, struct job *job)
{
    static const char *const with_value[] = {"--seed", "--seeds", "--time", "--scenario",
                                             "--trace"};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(with_value) && strcmp(argv[i], with_value[k]) != 0) {
            k++;
        }
        if (strcmp(argv[i], "--list") == 0) {
            job->list = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            job->help = true;
        } else if (k == ARRAY_LEN(with_value)) {
            (void)fprintf(stderr, "coracle-sim: %s: not known; see --help\n", argv[i]);
            return false;
        } else if (i + 1 == argc || !read_value(argv[i], argv[i + 1], job)) {
            (void)fprintf(stderr, "coracle-sim: %s %s: not understood; see --help\n", argv[i],
                          i + 1 == argc ? "(nothing)" : argv[i + 1]);
            return false;
        } else {
            i++;
        }
    }
    if (job->trace != NULL && (job->first != job->last || job->seconds > 0)) {
        (void)fprintf(stderr, "coracle-sim: --trace wants --seed: one run is written down\n");
        return false;
    }
    return true;
}

/* ---- the work ----------------------------------------------------------------------------------------- */

static bool goes_on(const struct job *job, uint64_t seed, time_t began)
{
    return job->seconds > 0 ? (uint64_t)difftime(time(NULL), began) < job->seconds
                            : seed <= job->last;
}

/* True: all is well. */
static bool work(struct job *job, FILE *trace)
{
    struct run_totals totals = {0};
    bool ok = true;
    time_t began = time(NULL);
    if (job->seconds > 0) {
        job->first = (uint64_t)began * 100000;
    }
    present.job = job;
    uint64_t seed = job->first;
    for (; ok && goes_on(job, seed, began); seed++) {
        struct run_result result;
        present.seed = seed;
        run_one(trace, &result);
        run_totals_add(&totals, &result.totals);
        ok = !result.failed;
        if (job->first == job->last && job->seconds == 0) {
            (void)printf("seed %" PRIu64 ", hash %016" PRIx64 "\n", seed, result.hash);
        }
        if (!ok) {
            print_failure(&result);
        }
    }
    if (job->seconds > 0) {
        (void)printf("seeds %" PRIu64 "..%" PRIu64 "\n", job->first, seed - 1);
    }
    print_totals(&totals);
    return ok;
}

static int print_list(void)
{
    const struct scenario *s;
    for (size_t i = 0; (s = scenario_at(i)) != NULL; i++) {
        (void)printf("%-24s %s\n", s->name, s->text);
    }
    return 0;
}

static FILE *open_trace(const char *name)
{
    FILE *f = strcmp(name, "-") == 0 ? stdout : fopen(name, "w");
    if (f == NULL) {
        (void)fprintf(stderr, "coracle-sim: %s: cannot be written\n", name);
    }
    return f;
}

static int perform(struct job *job)
{
    FILE *trace = job->trace == NULL ? NULL : open_trace(job->trace);
    if (job->trace != NULL && trace == NULL) {
        return 2;
    }
    (void)signal(SIGABRT, on_abort);
    int code = work(job, trace) ? 0 : 1;
    if (trace != NULL && trace != stdout && (ferror(trace) != 0 || fclose(trace) != 0)) {
        (void)fprintf(stderr, "coracle-sim: %s: could not be written\n", job->trace);
        return 2;
    }
    return code;
}

int main(int argc, char **argv)
{
    struct job job = {.first = 1, .last = 10};
    if (!read_arguments(argc, argv, &job)) {
        return 2;
    }
    int code = job.help ? (fputs(usage, stdout), 0) : job.list ? print_list() : perform(&job);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fprintf(stderr, "coracle-sim: stdout: could not be written\n");
        return 2;
    }
    return code;
}
