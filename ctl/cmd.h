/* cmd: the commands, one function each; main.c has the table that names them. Each
 * returns the exit code. */
#ifndef STOPGAP_CMD_H
#define STOPGAP_CMD_H

struct ctl;

int cmd_submit(struct ctl *c, int argc, char **argv);
int cmd_show(struct ctl *c, int argc, char **argv);
int cmd_requeue(struct ctl *c, int argc, char **argv);
int cmd_resend(struct ctl *c, int argc, char **argv);
int cmd_discard(struct ctl *c, int argc, char **argv);

int cmd_list(struct ctl *c, int argc, char **argv);
int cmd_stats(struct ctl *c, int argc, char **argv);
int cmd_workers(struct ctl *c, int argc, char **argv);
int cmd_pause(struct ctl *c, int argc, char **argv);
int cmd_resume(struct ctl *c, int argc, char **argv);

int cmd_keygen(struct ctl *c, int argc, char **argv);
int cmd_key_id(struct ctl *c, int argc, char **argv);
int cmd_verify(struct ctl *c, int argc, char **argv);

int cmd_reconcile(struct ctl *c, int argc, char **argv);

int cmd_fsck(struct ctl *c, int argc, char **argv);

int cmd_audit(struct ctl *c, int argc, char **argv);

int cmd_forget(struct ctl *c, int argc, char **argv);

int cmd_doctor(struct ctl *c, int argc, char **argv);

int cmd_config(struct ctl *c, int argc, char **argv);

#endif
