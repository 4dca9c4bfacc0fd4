/* template_builtin: see template_builtin.h. Written for a customer whose work stands
 * still on a weekend: short, exact, no advertising. */
#include "template_builtin.h"

#include <string.h>

static const char subject[] = "Emergency license for your ticket {{ticket}}";

static const char text[] =
    "Hello,\n"
    "\n"
    "we are sorry that your work came to a halt. Here is an emergency\n"
    "license for your support ticket {{ticket}}, so that you can go on\n"
    "right away. It is attached as {{license_file}}\n"
    "and pasted at the end of this mail.\n"
    "\n"
    "  License:      Ultimate trial, for {{users}} users\n"
    "  Issued to:    {{email}}\n"
    "  Valid from:   {{start_date}}\n"
    "  Valid until:  {{end_date}},\n"
    "                {{end_time}}\n"
    "\n"
    "HOW TO INSTALL IT\n"
    "\n"
    "{{install}}\n"
    "\n"
    "IF IT DOES NOT WORK\n"
    "\n"
    "Reply to this mail (or write to {{support}}) and tell\n"
    "us the exact message that you see. Please leave the ticket number\n"
    "{{ticket}} in the subject.\n"
    "\n"
    "WHAT COMES NEXT\n"
    "\n"
    "This license bridges the gap: it ends by itself at the time given\n"
    "above. Your permanent license follows separately; install it as soon\n"
    "as it arrives, and it takes the place of this one.\n"
    "\n"
    "THE LICENSE\n"
    "\n"
    "{{license}}\n"
    "\n"
    "-- \n"
    "Reference for our support team: {{job}}\n";

static const char html[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>Emergency license for your ticket {{ticket}}</title>\n"
    "</head>\n"
    "<body style=\"margin:0;padding:16px;color:#1f1e24;background:#ffffff;"
    "font:15px/1.5 Arial,Helvetica,sans-serif\">\n"
    "<div style=\"max-width:640px\">\n"
    "<p>Hello,</p>\n"
    "<p>we are sorry that your work came to a halt. Here is an <b>emergency "
    "license</b>\n"
    "for your support ticket {{ticket}}, so that you can go on right away. It is\n"
    "attached as <b>{{license_file}}</b> and pasted at the end of this mail.</p>\n"
    "<table cellpadding=\"0\" cellspacing=\"0\" style=\"border-collapse:collapse;"
    "font:15px/1.5 Arial,Helvetica,sans-serif\">\n"
    "<tr><td style=\"padding:2px 16px 2px 0\">License</td>"
    "<td><b>Ultimate trial, for {{users}} users</b></td></tr>\n"
    "<tr><td style=\"padding:2px 16px 2px 0\">Issued to</td>"
    "<td>{{email}}</td></tr>\n"
    "<tr><td style=\"padding:2px 16px 2px 0\">Valid from</td>"
    "<td>{{start_date}}</td></tr>\n"
    "<tr><td style=\"padding:2px 16px 2px 0;vertical-align:top\">Valid until</td>"
    "<td><b>{{end_date}}</b>, {{end_time}}</td></tr>\n"
    "</table>\n"
    "<h2 style=\"font-size:17px\">How to install it</h2>\n"
    "<p>{{install}}</p>\n"
    "<h2 style=\"font-size:17px\">If it does not work</h2>\n"
    "<p>Reply to this mail (or write to {{support}}) and tell us the exact message\n"
    "that you see. Please leave the ticket number {{ticket}} in the subject.</p>\n"
    "<h2 style=\"font-size:17px\">What comes next</h2>\n"
    "<p>This license bridges the gap: it ends by itself at the time given above. Your\n"
    "permanent license follows separately; install it as soon as it arrives, and it\n"
    "takes the place of this one.</p>\n"
    "<h2 style=\"font-size:17px\">The license</h2>\n"
    "<pre style=\"white-space:pre-wrap;word-break:break-all;padding:12px;"
    "background:#f5f5f7;font:13px/1.4 Consolas,Menlo,monospace\">{{license}}</pre>\n"
    "<p style=\"color:#626168;font-size:13px\">Reference for our support team: "
    "{{job}}</p>\n"
    "</div>\n"
    "</body>\n"
    "</html>\n";

const char *const template_builtin_texts[TEMPLATE_COUNT] = {
    [TEMPLATE_SUBJECT] = subject,
    [TEMPLATE_TEXT] = text,
    [TEMPLATE_HTML] = html,
};

static const struct {
    const char *format;
    const char *text;
} installs[] = {
    {"stopgap",
     "1. Save the attached license file.\n"
     "2. Sign in to your installation as an administrator and open the page\n"
     "   where licenses are added.\n"
     "3. Upload the file. If the page wants text instead, paste the license\n"
     "   from the end of this mail: everything from the BEGIN line to the END\n"
     "   line, both included.\n"
     "4. Check that the page now shows the plan Ultimate and the end date\n"
     "   above."},
    {"gitlab",
     "1. Save the attached license file.\n"
     "2. Sign in to GitLab as an administrator and open Admin area >\n"
     "   Settings > General, section Add License.\n"
     "3. Choose \"Upload .gitlab-license file\" and select the file; or choose\n"
     "   \"Enter license key\" and paste the license from the end of this\n"
     "   mail: everything from the BEGIN line to the END line, both included.\n"
     "4. Accept the terms and select Add License.\n"
     "5. Check under Admin area > Subscription that the plan is Ultimate and\n"
     "   the end date is the one above."},
};

const char *template_builtin_install(const char *format)
{
    for (size_t i = 0; i < sizeof installs / sizeof installs[0]; i++)
        if (!strcmp(installs[i].format, format))
            return installs[i].text;
    return installs[0].text;
}
