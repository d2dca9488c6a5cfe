/*
 * internal.h - what the files of server/ share.
 *
 * Place in the system: coracle/coracle.h is implemented here, over os/ (the loop), node/ (the member) and api/ (HTTP).
 *
 *     open.c   make all parts, start the thread, end it       check.c  options that cannot work
 *     call.c   from any thread to the loop and back           sink.c   events as text
 *     write.c  read.c  watch.c  the calls of coracle.h
 *
 * One thread, the loop's, owns node and api. Other threads post calls to it and wait. The mutex guards what both
 * sides look at: the flags below, and each call's `done`.
 */
#ifndef SERVER_INTERNAL_H
#define SERVER_INTERNAL_H

#include "api/api.h"
#include "base/event.h"
#include "coracle/coracle.h"
#include "node/node.h"
#include "os/os.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVER_LISTEN_MAX 16u
#define SERVER_NS_PER_MS  UINT64_C(1000000)

/* ---- sink.c ---------------------------------------------------------------------------------------- */

#define SINK_TEXT_MAX 2048u

struct sink {
    struct event_sink base;
    enum cor_log_level level;
    void (*log)(void *arg, enum cor_log_level level, const char *room, const char *event,
                const char *fields_logfmt, const char *fields_json);
    void *arg;
};
void sink_init(struct sink *s, const struct cor_options *o);
/* "event=name a=1 b=\"two words\"", and "\"event\":\"name\",\"a\":1,\"b\":\"two words\"". What does not fit is cut at
 * the end of a field. */
void sink_logfmt(const struct event *e, char *out, size_t size);
void sink_json(const struct event *e, char *out, size_t size);

/* ---- check.c --------------------------------------------------------------------------------------- */

/* COR_OK, or COR_EINVAL and @err says what to change. */
MUST_USE enum cor_status check_options(const struct cor_options *o, struct cor_error *err);
/* COR_EFOREIGN: the directory holds files and none of them is ours. */
MUST_USE enum cor_status check_directory(struct io_fs *fs, const char *path,
                                         struct cor_error *err);

/* ---- open.c ---------------------------------------------------------------------------------------- */

struct cor {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* of `ready` or `stopped` */
    unsigned refs;          /* one of the owner until cor_close(), one of each watch and call */
    bool ready, stopping, stopped;

    /* Set before the thread starts, unchanged while it runs. */
    struct sink sink;
    void (*on_fatal)(void *arg, const struct cor_error *err);
    void *arg;
    pthread_t thread;
    struct io_fs *fs;
    struct os_loop *loop;
    struct node *node;
    struct api *api;
    size_t n_listen;
    char bound[SERVER_LISTEN_MAX][IO_ADDRESS_MAX];

    /* The loop's alone. */
    struct io_listener *listeners[SERVER_LISTEN_MAX];
    uint64_t grace; /* ns */
    struct os_post last;
    struct io_task fatal;
};
void server_unref(struct cor *c);

/* ---- call.c ---------------------------------------------------------------------------------------- */

/* A call on its caller's stack. @begin runs on the loop and sees to it that call_end() is called, there, once. */
struct call {
    struct os_post post;
    struct cor *c;
    void (*begin)(struct call *call);
    pthread_cond_t ended;
    bool done;
    enum cor_status st;
};
/* Run @call->begin on the loop and wait for its end. COR_ESTOPPED: it was not run. */
enum cor_status call_make(struct cor *c, struct call *call);
void call_end(struct call *call, enum cor_status st);

#endif
