/*
 * call.c - from any thread to the loop, and back.
 */
#include "server/internal.h"

#include "base/assert.h"

static void run_call(struct os_post *post)
{
    struct call *call = CONTAINER_OF(post, struct call, post);
    call->begin(call);
}

enum cor_status call_make(struct cor *c, struct call *call)
{
    /* A callback that calls back into its own node would wait for itself. */
    COR_ASSERT(!pthread_equal(pthread_self(), c->thread));
    call->c = c;
    call->post.run = run_call;
    call->done = false;
    (void)pthread_cond_init(&call->ended, NULL);
    (void)pthread_mutex_lock(&c->mutex);
    bool refused = c->stopped;
    c->refs++; /* cor_close() may end this call and be done before this thread has run again */
    if (!refused) {
        os_loop_post(c->loop, &call->post);
        while (!call->done) {
            (void)pthread_cond_wait(&call->ended, &c->mutex);
        }
    }
    (void)pthread_mutex_unlock(&c->mutex);
    (void)pthread_cond_destroy(&call->ended);
    server_unref(c);
    return refused ? COR_ESTOPPED : call->st;
}

void call_end(struct call *call, enum cor_status st)
{
    struct cor *c = call->c;
    /* The caller may leave with its stack as soon as the mutex is free. */
    (void)pthread_mutex_lock(&c->mutex);
    call->st = st;
    call->done = true;
    (void)pthread_cond_signal(&call->ended);
    (void)pthread_mutex_unlock(&c->mutex);
}
