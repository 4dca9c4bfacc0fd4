/* worker_pool: see worker_pool.h. */
#include "worker_pool.h"

#include <stdlib.h>

#include "mem.h"

struct piece {
    uv_work_t req;
    worker_pool_fn work, done;
    void *arg;
};

static void on_work(uv_work_t *req)
{
    struct piece *p = req->data;

    p->work(p->arg);
}

static void on_done(uv_work_t *req, int status)
{
    struct piece p = *(struct piece *)req->data;

    (void)status; /* only a cancelled one fails */
    free(req->data);
    p.done(p.arg);
}

int worker_pool_run(uv_loop_t *loop, worker_pool_fn work, worker_pool_fn done,
                    void *arg)
{
    struct piece *p = mem_new(1, sizeof *p);

    p->req.data = p;
    p->work = work;
    p->done = done;
    p->arg = arg;
    if (uv_queue_work(loop, &p->req, on_work, on_done) == 0)
        return 0;
    free(p);
    return -1;
}
