/* views: what people see of jobs that take their time. A job says itself how it ends or
 * that it is put off; on its way it says nothing, since most are through in a moment.
 */
#ifndef STOPGAP_VIEWS_H
#define STOPGAP_VIEWS_H

struct worker;

/* Shows those in flight that have moved and are not new. To be called with each beat.
 */
void views_refresh(struct worker *w);

#endif
