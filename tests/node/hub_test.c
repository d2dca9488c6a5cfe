/*
 * hub_test.c - watches and blocking queries on a store, in simulated turns: what is told, in which order,
 * how often, and what a slow owner costs.
 */
#include "tests/node/spies.h"

/* ---- what is told -------------------------------------------------------------------------------- */

static void a_watch_hears_of_its_range_alone_in_order_and_once(void)
{
    struct room r;
    struct spy s = {0};
    open_room(&r, 10);
    put(&r, "a", "0");
    spy_start(&r, &s, "a", "c", 0);
    put(&r, "a", "1");
    put(&r, "c", "no");
    erase(&r, "a");
    put(&r, "b", "2");
    check_text(&s, ""); /* not from inside kv_apply() */
    turn(&r);
    check_text(&s, "[3 a=1][5 -a][6 b=2]");
    turn(&r);
    check_text(&s, "[3 a=1][5 -a][6 b=2]");
    spy_end(&s);
    put(&r, "a", "3");
    turn(&r);
    check_text(&s, "[3 a=1][5 -a][6 b=2]");
    close_room(&r);
}

static void events_of_one_revision_come_in_one_call(void)
{
    struct room r;
    struct spy live = {0};
    struct spy late = {0};
    open_room(&r, 10);
    spy_start(&r, &live, "", NULL, 0);
    put_two(&r, "a", "b");
    put_two(&r, "d", "c");
    turn(&r);
    spy_start(&r, &late, "", NULL, 1);
    turn(&r);
    check_text(&live, "[2 a=1 b=2][3 d=1 c=2]");
    check_text(&late, "[2 a=1 b=2][3 d=1 c=2]");
    CHECK_EQ(live.n_calls, 2u);
    spy_end(&live);
    spy_end(&late);
    close_room(&r);
}

static void all_watchers_of_a_change_share_one_event(void)
{
    struct room r;
    static struct spy spies[50];
    memset(spies, 0, sizeof spies);
    open_room(&r, 100);
    for (size_t i = 0; i < ARRAY_LEN(spies); i++) {
        spy_start(&r, &spies[i], i % 2 == 0 ? "a" : "", i % 2 == 0 ? "" : NULL, 0);
    }
    put(&r, "a", "1");
    CHECK_EQ(r.hub->queued_bytes, 50 * sizeof(struct hub_mark) + node_event_size(r.hub->event));
    turn(&r);
    for (size_t i = 0; i < ARRAY_LEN(spies); i++) {
        ROW("spy %zu", i);
        REQUIRE(spies[i].kept != NULL);
        CHECK(spies[i].kept == spies[0].kept);
    }
    CHECK_EQ(spies[0].kept->refs, 50u);
    for (size_t i = 0; i < ARRAY_LEN(spies); i++) {
        node_event_unref(spies[i].kept);
        spies[i].kept = NULL;
        spy_end(&spies[i]);
    }
    CHECK_EQ(r.hub->queued_bytes, 0u);
    close_room(&r);
}

static void a_watch_in_the_past_reads_history_and_goes_on_live(void)
{
    struct room r;
    struct spy s = {0};
    struct spy far = {0};
    open_room(&r, 10);
    put(&r, "a", "2");
    put(&r, "x", "3");
    put(&r, "a", "4");
    spy_start(&r, &s, "a", "", 2);
    spy_start(&r, &far, "a", "", 4);
    CHECK_EQ(s.n_calls, 0u); /* not from inside the start */
    put(&r, "a", "5");
    turn(&r);
    put(&r, "a", "6");
    turn(&r);
    check_text(&s, "[2 a=2][4 a=4][5 a=5][6 a=6]");
    check_text(&far, "[4 a=4][5 a=5][6 a=6]");
    spy_end(&s);
    spy_end(&far);
    close_room(&r);
}

static void a_watch_in_the_future_waits_for_its_revision(void)
{
    struct room r;
    struct spy s = {0};
    open_room(&r, 10);
    spy_start(&r, &s, "", NULL, 4);
    put(&r, "a", "2");
    put(&r, "a", "3");
    turn(&r);
    put(&r, "a", "4");
    put(&r, "a", "5");
    turn(&r);
    check_text(&s, "[4 a=4][5 a=5]");
    spy_end(&s);
    close_room(&r);
}

static void a_compacted_start_is_cancelled_with_the_oldest_revision(void)
{
    struct room r;
    struct spy s = {0};
    struct spy edge = {0};
    open_room(&r, 10);
    for (unsigned i = 0; i < 5; i++) {
        put(&r, "a", "v");
    }
    compact(&r, 4);
    spy_start(&r, &s, "", NULL, 3);
    check_text(&s, "");
    turn(&r);
    check_text(&s, "(compacted 4)");
    CHECK_EQ(r.hub->n_cancelled, 1u);
    CHECK_EQ(r.hub->n_watches, 0u);
    spy_start(&r, &edge, "", NULL, 4); /* what it was told to resume from */
    turn(&r);
    check_text(&edge, "[4 a=v][5 a=v][6 a=v]");
    spy_end(&s);
    spy_end(&edge);
    close_room(&r);
}

static void a_million_revisions_ago_is_read_in_many_turns(void)
{
    struct room r;
    static struct spy s;
    s = (struct spy){.quiet = true};
    const uint64_t n = UINT64_C(4) * HUB_TURN_STEPS;
    open_room(&r, 10);
    for (uint64_t i = 0; i < n; i++) {
        put(&r, i % 2 == 0 ? "a" : "b", "v");
    }
    spy_start(&r, &s, "a", "", 1);
    uint64_t before = r.w.n_turns;
    while (s.n_events < n / 2 && r.w.n_turns < before + 100) {
        uint64_t had = s.n_events;
        CHECK(world_step(&r.w));
        CHECK(s.n_events - had <= HUB_TURN_STEPS + HUB_SLICE_STEPS);
    }
    CHECK(r.w.n_turns - before >= 4);
    put(&r, "a", "live");
    turn(&r);
    CHECK_EQ(s.n_events, n / 2 + 1);
    CHECK(!s.out_of_order);
    spy_end(&s);
    close_room(&r);
}

/* ---- other tables --------------------------------------------------------------------------------- */

static void other_tables_are_watched_live_and_apart(void)
{
    struct room r;
    struct spy keys = {0};
    struct spy sessions = {0};
    open_room(&r, 10);
    put_system(&r, "s", "1");
    spy_start(&r, &keys, "", NULL, 0);
    sessions.room = &r;
    sessions.watch = (struct node_watch){.range = {.table = KV_TABLE_SESSIONS, .to_end = true},
                                         .arg = &sessions,
                                         .on_events = on_events,
                                         .on_cancel = on_cancel};
    CHECK_EQ(hub_watch_start(r.hub, &sessions.watch), COR_OK);
    put(&r, "a", "1");
    put_system(&r, "s", "2");
    turn(&r);
    check_text(&keys, "[2 a=1]");
    check_text(&sessions, "[3 s=2]");
    node_watch_stop(&sessions.watch);
    sessions.watch.start_revision = 3; /* they have no history */
    CHECK_EQ(hub_watch_start(r.hub, &sessions.watch), COR_OK);
    turn(&r);
    check_text(&sessions, "[3 s=2](compacted 4)");
    sessions.watch.start_revision = 4;
    CHECK_EQ(hub_watch_start(r.hub, &sessions.watch), COR_OK);
    put_system(&r, "s", "3");
    turn(&r);
    check_text(&sessions, "[3 s=2](compacted 4)[4 s=3]");
    sessions.watch.range.table = KV_N_TABLES;
    node_watch_stop(&sessions.watch);
    CHECK_EQ(hub_watch_start(r.hub, &sessions.watch), COR_EINVAL);
    spy_end(&keys);
    spy_end(&sessions);
    close_room(&r);
}

static void a_slow_watch_without_history_is_cancelled_with_where_it_stood(void)
{
    struct room r;
    struct spy s = {.refuse = 1};
    open_room(&r, 10);
    s.room = &r;
    s.watch = (struct node_watch){.range = {.table = KV_TABLE_SESSIONS, .to_end = true},
                                  .arg = &s,
                                  .queue_bytes_max = 1000,
                                  .on_events = on_events,
                                  .on_cancel = on_cancel};
    CHECK_EQ(hub_watch_start(r.hub, &s.watch), COR_OK);
    for (unsigned i = 0; i < 3; i++) {
        put_system(&r, "s", "v");
        turn(&r);
    }
    check_text(&s, "");
    CHECK_EQ(s.n_calls, 1u); /* not asked again until it says so */
    for (unsigned i = 0; i < 20; i++) {
        put_system(&r, "s", "v");
        turn(&r);
    }
    check_text(&s, "(busy 2)");
    CHECK_EQ(r.hub->queued_bytes, 0u);
    spy_end(&s);
    close_room(&r);
}

/* ---- slow owners ------------------------------------------------------------------------------------ */

static void what_an_owner_refuses_is_offered_again_after_resume(void)
{
    struct room r;
    struct spy s = {.refuse = 1};
    struct spy late = {.refuse = 1};
    open_room(&r, 10);
    spy_start(&r, &s, "", NULL, 0);
    put_two(&r, "a", "b");
    put(&r, "c", "3");
    spy_start(&r, &late, "", NULL, 2);
    turn(&r);
    put(&r, "d", "4");
    turn(&r);
    check_text(&s, "");
    CHECK_EQ(s.n_calls, 1u);
    CHECK_EQ(late.n_calls, 1u);
    node_watch_resume(&s.watch);
    node_watch_resume(&late.watch);
    node_watch_resume(&s.watch);
    CHECK_EQ(s.n_calls, 1u); /* not from inside the resume */
    turn(&r);
    check_text(&s, "[2 a=1 b=2][3 c=3][4 d=4]");
    check_text(&late, "[2 a=1 b=2][3 c=3][4 d=4]");
    spy_end(&s);
    spy_end(&late);
    close_room(&r);
}

static void a_watch_that_never_reads_leaves_the_index_and_costs_nothing(void)
{
    struct room r;
    struct spy s = {.refuse = 1, .quiet = true};
    open_room(&r, 10);
    s.watch.queue_bytes_max = 2000;
    spy_start(&r, &s, "", NULL, 0);
    size_t most = 0;
    for (unsigned i = 0; i < 200; i++) {
        put(&r, "a", "v");
        turn(&r);
        size_t now = r.hub->queued_bytes;
        most = now > most ? now : most;
    }
    CHECK(most > 0 && most < 2000 + 50 * sizeof(struct hub_mark));
    CHECK_EQ(r.hub->queued_bytes, 0u);
    CHECK(r.hub->event == NULL);
    put(&r, "a", "v");
    CHECK(r.hub->event == NULL); /* nobody wants it: no copy is made */
    CHECK_EQ(s.n_calls, 1u);
    node_watch_resume(&s.watch);
    turn(&r);
    CHECK_EQ(s.n_events, 201u); /* and yet nothing is lost */
    CHECK(!s.out_of_order);
    put(&r, "a", "live");
    CHECK(r.hub->event != NULL); /* back in the index */
    turn(&r);
    CHECK_EQ(s.n_events, 202u);
    spy_end(&s);
    close_room(&r);
}

static void a_watch_left_behind_by_compaction_is_cancelled(void)
{
    struct room r;
    struct spy s = {.refuse = 1};
    open_room(&r, 10);
    s.watch.queue_bytes_max = 500;
    spy_start(&r, &s, "", NULL, 0);
    for (unsigned i = 0; i < 20; i++) {
        put(&r, "a", "v");
        turn(&r);
    }
    compact(&r, 15);
    node_watch_resume(&s.watch);
    turn(&r);
    check_text(&s, "(compacted 15)");
    spy_end(&s);
    close_room(&r);
}

static void compaction_does_not_hurt_a_watch_without_events(void)
{
    struct room r;
    struct spy s = {.refuse = 1, .watch.queue_bytes_max = 1};
    open_room(&r, 10);
    spy_start(&r, &s, "a", "", 0);
    for (unsigned i = 0; i < 20; i++) {
        put(&r, "b", "v");
    }
    compact(&r, 20);
    put(&r, "a", "22");
    put(&r, "a", "23");
    turn(
        &r); /* it is refused, and the queue is too small: behind, but not from the beginning */
    node_watch_resume(&s.watch);
    turn(&r);
    check_text(&s, "[22 a=22][23 a=23]");
    spy_end(&s);
    close_room(&r);
}

static void the_queues_of_all_watches_together_are_bounded(void)
{
    struct room r;
    static struct spy spies[20];
    memset(spies, 0, sizeof spies);
    open_room(&r, 100);
    r.hub->queued_bytes_max = 10000;
    for (size_t i = 0; i < ARRAY_LEN(spies); i++) {
        spies[i].refuse = 1;
        spy_start(&r, &spies[i], "", NULL, 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        put(&r, "a", "v");
        turn(&r);
        CHECK(r.hub->queued_bytes < 10000 + 1000);
    }
    for (size_t i = 0; i < ARRAY_LEN(spies); i++) {
        node_watch_resume(&spies[i].watch);
    }
    turn(&r);
    for (size_t i = 0; i < ARRAY_LEN(spies); i++) {
        ROW("spy %zu", i);
        CHECK_EQ(spies[i].n_events, 100u);
        CHECK(!spies[i].out_of_order);
        spy_end(&spies[i]);
    }
    close_room(&r);
}

static void a_revision_larger_than_the_queue_is_told_whole(void)
{
    struct room r;
    struct spy s = {.watch.queue_bytes_max = 1};
    open_room(&r, 10);
    spy_start(&r, &s, "", NULL, 0);
    put_two(&r, "a", "b");
    put_two(&r, "c", "d");
    put_two(&r, "e", "f");
    turn(&r);
    check_text(&s, "[2 a=1 b=2][3 c=1 d=2][4 e=1 f=2]");
    spy_end(&s);
    close_room(&r);
}

static void the_same_holds_where_there_is_no_history(void)
{
    struct room r;
    struct spy s = {.room = &r};
    open_room(&r, 10);
    s.watch = (struct node_watch){.range = {.table = KV_TABLE_SESSIONS, .to_end = true},
                                  .arg = &s,
                                  .queue_bytes_max = 1,
                                  .on_events = on_events,
                                  .on_cancel = on_cancel};
    CHECK_EQ(hub_watch_start(r.hub, &s.watch), COR_OK);
    struct kv_op ops[] = {put_of(KV_TABLE_SESSIONS, "a", "1"),
                          put_of(KV_TABLE_SESSIONS, "b", "2"),
                          put_of(KV_TABLE_SESSIONS, "c", "3")};
    apply(&r, ops, 3);
    turn(&r);
    check_text(&s, "[2 a=1 b=2 c=3]");
    spy_end(&s);
    close_room(&r);
}

static void an_impatient_owner_does_not_hold_the_loop(void)
{
    struct room r;
    struct spy s = {.refuse = 20000, .impatient = true};
    open_room(&r, 10);
    spy_start(&r, &s, "", NULL, 0);
    put(&r, "a", "2");
    for (unsigned i = 0; i < 100 && s.refuse > 0; i++) {
        uint64_t had = s.n_calls;
        CHECK(world_step(&r.w));
        CHECK(s.n_calls - had <= HUB_TURN_STEPS + HUB_SLICE_STEPS);
    }
    turn(&r);
    check_text(&s, "[2 a=2]");
    spy_end(&s);
    close_room(&r);
}

static void an_event_is_a_whole_copy(void)
{
    struct room r;
    struct spy s = {0};
    open_room(&r, 10);
    spy_start(&r, &s, "", NULL, 0);
    struct kv_op op = put_of(KV_TABLE_KEYS, "key", "value");
    op.attrs = text("attributes");
    op.lease = 77;
    apply(&r, &op, 1);
    turn(&r);
    for (unsigned i = 0; i < 50; i++) { /* the store moves on */
        put(&r, "key", "another value");
    }
    compact(&r, 50);
    while (kv_tend(r.kv, 1000)) {
    }
    REQUIRE(s.kept != NULL);
    CHECK_EQ(s.kept->type, KV_EVENT_PUT);
    CHECK_EQ(s.kept->table, KV_TABLE_KEYS);
    CHECK_EQ(s.kept->revision, 2u);
    CHECK_BYTES(s.kept->item.key, text("key"));
    CHECK_BYTES(s.kept->item.value, text("value"));
    CHECK_BYTES(s.kept->item.attrs, text("attributes"));
    CHECK_EQ(s.kept->item.lease, 77u);
    CHECK_EQ(s.kept->item.version, 1u);
    CHECK_EQ(s.kept->item.mod_index, 1u);
    turn(&r);
    spy_end(&s);
    close_room(&r);
}

static void ten_thousand_watchers_are_told_in_many_turns(void)
{
    struct room r;
    const size_t n = 10000;
    struct spy *spies = calloc(n, sizeof *spies);
    REQUIRE(spies != NULL);
    open_room(&r, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        spies[i].quiet = true;
        spy_start(&r, &spies[i], "a", "b", 0);
    }
    struct spy extra = {0};
    extra.watch.range = range_of("a", "");
    CHECK_EQ(hub_watch_start(r.hub, &extra.watch), COR_EBUSY);
    uint64_t turns = r.w.n_turns;
    for (unsigned i = 0; i < 5; i++) {
        put(&r, "a", "v");
    }
    turn(&r);
    CHECK(r.w.n_turns - turns >= 5 * n / (HUB_TURN_STEPS + HUB_SLICE_STEPS));
    for (size_t i = 0; i < n; i++) {
        ROW("spy %zu", i);
        CHECK_EQ(spies[i].n_events, 5u);
        CHECK(!spies[i].out_of_order);
    }
    struct node_stats stats = {0};
    hub_get_stats(r.hub, &stats);
    CHECK_EQ(stats.watchers, n);
    CHECK_EQ(stats.watch_events, 5 * n);
    hub_stop(r.hub);
    for (size_t i = 0; i < n; i++) {
        node_event_unref(spies[i].kept);
    }
    free(spies);
    close_room(&r);
}

/* ---- callbacks that do things ------------------------------------------------------------------------ */

static void a_watch_may_be_stopped_in_its_own_callback_and_by_another(void)
{
    struct room r;
    struct spy self = {0};
    struct spy victim = {0};
    struct spy killer = {0};
    open_room(&r, 10);
    spy_start(&r, &self, "", NULL, 0);
    spy_start(&r, &victim, "", NULL, 0);
    spy_start(&r, &killer, "", NULL,
              0); /* of one range, the youngest but the first hears first */
    self.stop = &self;
    killer.stop = &victim;
    put_two(&r, "a", "b");
    put(&r, "c", "3");
    turn(&r);
    check_text(&self, "[2 a=1 b=2]");
    check_text(&victim, "");
    check_text(&killer, "[2 a=1 b=2][3 c=3]");
    CHECK_EQ(r.hub->n_watches, 1u);
    node_event_unref(self.kept);
    self.kept = NULL;
    spy_end(&killer);
    close_room(&r);
}

static void a_watch_that_reads_history_may_be_stopped_in_its_callback(void)
{
    struct room r;
    struct spy self = {0};
    struct spy refused = {.refuse = 1};
    open_room(&r, 10);
    put(&r, "a", "2");
    put(&r, "a", "3");
    self.stop = &self;
    refused.stop = &refused;
    spy_start(&r, &self, "", NULL, 2);
    spy_start(&r, &refused, "", NULL, 2);
    turn(&r);
    check_text(&self, "[2 a=2]");
    CHECK_EQ(refused.n_calls, 1u);
    CHECK_EQ(r.hub->n_watches, 0u);
    spy_end(&self);
    close_room(&r);
}

static void a_callback_may_start_and_resume(void)
{
    struct room r;
    struct spy s = {0};
    struct spy born = {0};
    struct spy hasty = {.refuse = 1};
    struct spy again = {0};
    open_room(&r, 10);
    hasty.resume = &hasty; /* inside the call that then says no */
    spy_start(&r, &s, "", NULL, 0);
    spy_start(&r, &hasty, "", NULL, 0);
    s.start = &born;
    put(&r, "a", "2");
    turn(&r);
    put(&r, "a", "3");
    turn(&r);
    check_text(&s, "[2 a=2][3 a=3]");
    check_text(&born, "[2 a=2][3 a=3]");
    check_text(&hasty, "[2 a=2][3 a=3]");
    compact(&r, 2);
    again.start = &again; /* from its on_cancel: at revision 2, which is still there */
    spy_start(&r, &again, "", NULL, 1);
    turn(&r);
    check_text(&again, "(compacted 2)[2 a=2][3 a=3]");
    hub_stop(r.hub);
    for (struct spy **p = (struct spy *[]){&s, &born, &hasty, &again, NULL}; *p != NULL; p++) {
        node_event_unref((*p)->kept);
    }
    close_room(&r);
}

static void stopping_the_hub_ends_all_even_inside_a_callback(void)
{
    struct room r;
    struct spy first = {.stop_hub = true};
    struct spy second = {0};
    struct spy third = {.refuse = 9};
    struct spy waiter = {0};
    open_room(&r, 10);
    spy_start(&r, &third, "", NULL, 0);
    put(&r, "a", "2");
    turn(&r);
    spy_start(&r, &second, "", NULL, 0);
    spy_start(&r, &first, "", NULL,
              0); /* of one range, the youngest but the first hears first */
    wait_start(&r, &waiter, "z", 1, IO_NEVER);
    put(&r, "a", "3");
    turn(&r);
    check_text(&first, "[3(stopped 0) a=3]");
    check_text(&second, "(stopped 0)");
    check_text(&third, "(stopped 0)");
    check_text(&waiter, "(stopped 0)");
    CHECK_EQ(hub_watch_start(r.hub, &second.watch), COR_ESTOPPED);
    CHECK_EQ(hub_wait_start(r.hub, &waiter.wait, 1), COR_ESTOPPED);
    CHECK_EQ(r.hub->n_watches + r.hub->n_waits, 0u);
    put(&r, "a", "4");
    turn(&r);
    spy_end(&first);
    close_room(&r);
}

static void a_crash_forgets_watches_without_a_word(void)
{
    struct room r;
    struct spy s = {0};
    struct spy w = {0};
    open_room(&r, 10);
    spy_start(&r, &s, "", NULL, 0);
    wait_start(&r, &w, "a", 1, 1000);
    put(&r, "a", "2");
    close_room(&r);
    check_text(&s, "");
    check_text(&w, "");
    spy_end(&s); /* harmless afterwards */
    spy_end(&w);
}

/* ---- blocking queries ---------------------------------------------------------------------------------- */

static void a_wait_is_woken_once_by_a_change_of_its_key(void)
{
    struct room r;
    struct spy s = {0};
    struct spy other = {0};
    open_room(&r, 10);
    put(&r, "a", "2");
    wait_start(&r, &s, "a", 2, 100 * SIM_MS);
    wait_start(&r, &other, "b", 2, 100 * SIM_MS);
    put(&r, "c", "3");
    turn(&r);
    check_text(&s, "");
    put(&r, "a", "4");
    put(&r, "a", "5");
    check_text(&s, ""); /* not from inside kv_apply() */
    turn(&r);
    put(&r, "a", "6");
    world_run(&r.w, r.w.now + SIM_S);
    check_text(&s, "(changed 0)");
    check_text(&other, "(time 0)");
    CHECK_EQ(r.hub->n_waits, 0u);
    close_room(&r);
}

static void a_wait_for_what_has_changed_already_is_woken_at_once(void)
{
    struct room r;
    struct spy s = {0};
    struct spy gone = {0};
    struct spy ahead = {0};
    open_room(&r, 10);
    put(&r, "a", "2");
    put(&r, "b", "3");
    erase(&r, "b");
    wait_start(&r, &s, "a", 1, IO_NEVER);
    wait_start(&r, &gone, "b", 3, IO_NEVER);
    wait_start(&r, &ahead, "a", 5, IO_NEVER);
    check_text(&s, ""); /* not from inside the start */
    turn(&r);
    check_text(&s, "(changed 0)");
    check_text(&gone, "(changed 0)");
    put(&r, "a", "5");
    turn(&r);
    check_text(&ahead, ""); /* its index is not passed yet */
    put(&r, "a", "6");
    turn(&r);
    check_text(&ahead, "(changed 0)");
    close_room(&r);
}

static void a_wait_times_out_and_may_be_stopped(void)
{
    struct room r;
    struct spy s = {0};
    struct spy stopped = {0};
    struct spy zero = {0};
    open_room(&r, 10);
    wait_start(&r, &s, "a", 1, 20 * SIM_MS);
    wait_start(&r, &stopped, "a", 1, 20 * SIM_MS);
    wait_start(&r, &zero, "a", 1, 0);
    turn(&r);
    check_text(&s, "");
    check_text(&zero, "(time 0)");
    node_wait_stop(&stopped.wait);
    node_wait_stop(&stopped.wait);
    world_run(&r.w, r.w.now + 20 * SIM_MS);
    check_text(&s, "(time 0)");
    put(&r, "a", "2");
    turn(&r);
    check_text(&s, "(time 0)");
    check_text(&stopped, "");
    close_room(&r);
}

static void a_wait_may_stop_others_and_a_changed_one_may_be_stopped(void)
{
    struct room r;
    struct spy a = {0};
    struct spy b = {0};
    struct spy c = {0};
    open_room(&r, 10);
    wait_start(&r, &a, "a", 1, IO_NEVER);
    wait_start(&r, &b, "a", 1, IO_NEVER);
    wait_start(&r, &c, "a", 1, IO_NEVER);
    /* Whoever is woken first stops the other; the third is stopped between change and turn. */
    a.stop = &b;
    b.stop = &a;
    put(&r, "a", "2");
    node_wait_stop(&c.wait);
    turn(&r);
    CHECK_EQ(a.used + b.used, strlen("(changed 0)"));
    check_text(&c, "");
    CHECK_EQ(r.hub->n_waits, 0u);
    close_room(&r);
}

static void ten_thousand_waits_are_woken_while_watches_are_told(void)
{
    struct room r;
    const size_t n = 10000;
    struct spy *spies = calloc(n, sizeof *spies);
    struct spy watch = {0};
    REQUIRE(spies != NULL);
    open_room(&r, (uint32_t)n + 1);
    for (size_t i = 0; i < n; i++) {
        wait_start(&r, &spies[i], "a", 1, SIM_S);
    }
    spy_start(&r, &watch, "", NULL, 0);
    put(&r, "a", "2");
    world_step(&r.w);
    check_text(&watch, "[2 a=2]"); /* in the first turn, though the waits take several */
    CHECK(r.hub->n_waits > 0);
    turn(&r);
    CHECK_EQ(r.hub->n_waits, 0u);
    for (size_t i = 0; i < n; i++) {
        ROW("wait %zu", i);
        check_text(&spies[i], "(changed 0)");
    }
    free(spies);
    spy_end(&watch);
    close_room(&r);
}

TEST_MAIN(TEST(a_watch_hears_of_its_range_alone_in_order_and_once),
          TEST(events_of_one_revision_come_in_one_call),
          TEST(all_watchers_of_a_change_share_one_event),
          TEST(a_watch_in_the_past_reads_history_and_goes_on_live),
          TEST(a_watch_in_the_future_waits_for_its_revision),
          TEST(a_compacted_start_is_cancelled_with_the_oldest_revision),
          TEST(a_million_revisions_ago_is_read_in_many_turns),
          TEST(other_tables_are_watched_live_and_apart),
          TEST(a_slow_watch_without_history_is_cancelled_with_where_it_stood),
          TEST(what_an_owner_refuses_is_offered_again_after_resume),
          TEST(a_watch_that_never_reads_leaves_the_index_and_costs_nothing),
          TEST(a_watch_left_behind_by_compaction_is_cancelled),
          TEST(compaction_does_not_hurt_a_watch_without_events),
          TEST(the_queues_of_all_watches_together_are_bounded),
          TEST(a_revision_larger_than_the_queue_is_told_whole),
          TEST(the_same_holds_where_there_is_no_history),
          TEST(an_impatient_owner_does_not_hold_the_loop), TEST(an_event_is_a_whole_copy),
          TEST(ten_thousand_watchers_are_told_in_many_turns),
          TEST(a_watch_may_be_stopped_in_its_own_callback_and_by_another),
          TEST(a_watch_that_reads_history_may_be_stopped_in_its_callback),
          TEST(a_callback_may_start_and_resume),
          TEST(stopping_the_hub_ends_all_even_inside_a_callback),
          TEST(a_crash_forgets_watches_without_a_word),
          TEST(a_wait_is_woken_once_by_a_change_of_its_key),
          TEST(a_wait_for_what_has_changed_already_is_woken_at_once),
          TEST(a_wait_times_out_and_may_be_stopped),
          TEST(a_wait_may_stop_others_and_a_changed_one_may_be_stopped),
          TEST(ten_thousand_waits_are_woken_while_watches_are_told))
