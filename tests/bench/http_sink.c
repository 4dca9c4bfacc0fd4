/* http_sink: the GitLab of the benchmark: a private project in which issues are made,
 * closed and listed, over kept connections. An issue is counted by the address in its
 * title. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sink.h"

#define ISSUES "/api/v4/projects/1/issues"
#define ANSWER_MAX 8192

/* By issue number: the job. */
static size_t *job_of;
static size_t issue_count, issue_room;

static void answer(struct conn *c, const char *status, const char *body)
{
    char text[ANSWER_MAX];
    int n =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %s\r\nServer: nginx\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\nCache-Control: max-age=0, private, "
                 "must-revalidate\r\nX-Request-Id: 01HZX3S8Y6V7KQ2M4N5P6R7S8T\r\n"
                 "RateLimit-Limit: 2000\r\nRateLimit-Remaining: 1999\r\n\r\n%s",
                 status, strlen(body), body);

    sink_answer(c, text, (size_t)n);
}

/* About as much as GitLab says of an issue. */
static void answer_issue(struct conn *c, const char *status, size_t iid,
                         const char *state)
{
    char body[4096];

    (void)snprintf(
        body, sizeof body,
        "{\"id\":%zu,\"iid\":%zu,\"project_id\":1,\"title\":\"Emergency license\","
        "\"description\":\"see the request\",\"state\":\"%s\","
        "\"created_at\":\"2026-01-01T00:00:00.000Z\",\"updated_at\":"
        "\"2026-01-01T00:00:00.000Z\",\"closed_at\":null,\"closed_by\":null,"
        "\"labels\":[\"emergency-license\"],\"milestone\":null,\"assignees\":[],"
        "\"author\":{\"id\":7,\"username\":\"license-bot\",\"name\":\"License bot\","
        "\"state\":\"active\",\"avatar_url\":null,\"web_url\":"
        "\"http://gitlab.example/license-bot\"},\"type\":\"ISSUE\",\"assignee\":null,"
        "\"user_notes_count\":0,\"merge_requests_count\":0,\"upvotes\":0,\"downvotes\":"
        "0,"
        "\"due_date\":null,\"confidential\":true,\"discussion_locked\":null,"
        "\"issue_type\":\"issue\",\"web_url\":"
        "\"http://gitlab.example/support/licenses/-/issues/%zu\",\"time_stats\":"
        "{\"time_estimate\":0,\"total_time_spent\":0,\"human_time_estimate\":null,"
        "\"human_total_time_spent\":null},\"task_completion_status\":{\"count\":0,"
        "\"completed_count\":0},\"weight\":null,\"has_tasks\":false,\"_links\":{"
        "\"self\":"
        "\"http://gitlab.example/api/v4/projects/1/issues/%zu\",\"project\":"
        "\"http://gitlab.example/api/v4/projects/"
        "1\"},\"references\":{\"short\":\"#%zu\","
        "\"relative\":\"#%zu\",\"full\":\"support/licenses#%zu\"},\"severity\":"
        "\"UNKNOWN\",\"moved_to_id\":null,\"service_desk_reply_to\":null}",
        iid + 1000000, iid, state, iid, iid, iid, iid, iid);
    answer(c, status, body);
}

static void create(struct conn *c, const char *body, size_t len)
{
    size_t job = sink_job_number(body, len, "license under ");

    if (++issue_count >= issue_room) {
        issue_room = issue_room * 2 + 1024;
        job_of = mem_grow(job_of, issue_room * sizeof *job_of);
    }
    job_of[issue_count] = job;
    sink_count(job, SINK_ISSUE);
    answer_issue(c, "201 Created", issue_count, "opened");
}

static void change(struct conn *c, const char *path, const char *body, size_t len)
{
    size_t iid = strtoul(path + strlen(ISSUES "/"), NULL, 10);
    bool close = memmem(body, len, "\"close\"", 7) != NULL;

    if (iid < 1 || iid > issue_count) {
        answer(c, "404 Not Found", "{\"message\":\"404 Not found\"}");
        return;
    }
    if (close)
        sink_count(job_of[iid], SINK_CLOSE);
    answer_issue(c, "200 OK", iid, close ? "closed" : "opened");
}

static void on_request(struct conn *c, const char *head, const char *body, size_t len)
{
    if (!strncmp(head, "POST " ISSUES " ", strlen("POST " ISSUES " ")))
        create(c, body, len);
    else if (!strncmp(head, "PUT " ISSUES "/", strlen("PUT " ISSUES "/")))
        change(c, head + strlen("PUT "), body, len);
    else if (!strncmp(head, "GET " ISSUES, strlen("GET " ISSUES)))
        answer(c, "200 OK", "[]");
    else if (!strncmp(head, "GET ", 4))
        answer(c, "200 OK", "{\"id\":1,\"visibility\":\"private\"}");
    else
        answer(c, "404 Not Found", "{\"message\":\"404 Not found\"}");
}

size_t http_sink_read(struct conn *c, const char *bytes, size_t len)
{
    static const char mark[] = "\r\nContent-Length: ";
    size_t used = 0, head, body;
    const char *end, *length;

    while ((end = memmem(bytes + used, len - used, "\r\n\r\n", 4))) {
        head = (size_t)(end - bytes) + 4 - used;
        length = memmem(bytes + used, head, mark, sizeof mark - 1);
        body = length ? strtoul(length + sizeof mark - 1, NULL, 10) : 0;
        if (len - used < head + body)
            break;
        on_request(c, bytes + used, bytes + used + head, body);
        used += head + body;
    }
    return used;
}
