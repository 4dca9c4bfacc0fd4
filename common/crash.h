/* crash: names of the places where something is handed to the outside or to Redis, or
 * has just come back. Nothing at all in the programs as they are shipped. Built with
 * CRASH=1, tests/crashpoints/crash.c ends the program at the place that it was told.
 *
 * A name is "PLACE" or "PLACE.WHAT"; tests/crashpoints fails for a place that it never
 * reaches, so a new one needs no test of its own, only a scenario that comes there. */
#ifndef STOPGAP_CRASH_H
#define STOPGAP_CRASH_H

#ifdef STOPGAP_CRASH

#include <stddef.h>

void crash_point(const char *place, const char *what);
void crash_sent(const void *way, const char *place, const char *what);
size_t crash_part(const void *way, const char *place, size_t len);
void crash_way(const void *from, const void *to);
void crash_left(const void *way);

/* The program may end here. */
#define CRASH_POINT(place) crash_point(place, NULL)
#define CRASH_POINT_OF(place, what) crash_point(place, what)

/* The program may end as soon as what was just handed to `way` has left it; with
 * CRASH_PART only the first half of it is handed over then. A stream's way is also its
 * owner's. */
#define CRASH_SENT(way, place) crash_sent(way, place, NULL)
#define CRASH_SENT_OF(way, place, what) crash_sent(way, place, what)
#define CRASH_PART(way, place, len) crash_part(way, place, len)

/* For ways: what they hold goes on by another one; it has left. */
#define CRASH_WAY(from, to) crash_way(from, to)
#define CRASH_LEFT(way) crash_left(way)

#else

#define CRASH_POINT(place) ((void)0)
#define CRASH_POINT_OF(place, what) ((void)0)
#define CRASH_SENT(way, place) ((void)0)
#define CRASH_SENT_OF(way, place, what) ((void)0)
#define CRASH_PART(way, place, len) (len)
#define CRASH_WAY(from, to) ((void)0)
#define CRASH_LEFT(way) ((void)0)

#endif
#endif
