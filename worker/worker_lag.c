/* worker_lag: see worker_lag.h. */
#include "worker_lag.h"

/* Just before each poll. */
static void on_turn(uv_prepare_t *turn)
{
    struct worker_lag *lag = turn->data;
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(turn->loop);
    uint64_t busy = now - lag->began_ns - (idle - lag->idle_ns);

    if (lag->began_ns && busy > lag->most_ns)
        lag->most_ns = busy;
    lag->began_ns = now;
    lag->idle_ns = idle;
}

void worker_lag_start(struct worker_lag *lag, uv_loop_t *loop)
{
    (void)uv_loop_configure(loop, UV_METRICS_IDLE_TIME); /* these cannot fail */
    (void)uv_prepare_init(loop, &lag->turn);
    lag->turn.data = lag;
    (void)uv_prepare_start(&lag->turn, on_turn);
}

void worker_lag_restart(struct worker_lag *lag)
{
    lag->began_ns = uv_hrtime();
    lag->idle_ns = uv_metrics_idle_time(lag->turn.loop);
}

static void on_closed(uv_handle_t *handle)
{
    (void)handle; /* lives in the worker */
}

void worker_lag_stop(struct worker_lag *lag)
{
    uv_close((uv_handle_t *)&lag->turn, on_closed);
}

int64_t worker_lag_ms(const struct worker_lag *lag)
{
    return (int64_t)(lag->most_ns / 1000000);
}
