/*
 * One alarm on the loop, as fine as the system's clock: the script's timers and held packets wait
 * for it. Times are seconds on the clock of uv_hrtime().
 */
#ifndef TF_ALARM_H
#define TF_ALARM_H

#include <uv.h>

struct tf_alarm;

typedef void (*tf_alarm_cb)(void *arg);

/* 0, or a libuv code. */
int tf_alarm_create(struct tf_alarm **out, uv_loop_t *loop, tf_alarm_cb cb, void *arg);

/* Rings once at this time, at once if it is past; above 1e299: not at all. The last call counts. */
void tf_alarm_set(struct tf_alarm *alarm, double due);

/* Closes and frees it, in the loop's next turn; NULL is fine. */
void tf_alarm_close(struct tf_alarm *alarm);

#endif
