/* template_builtin: the texts of the mail as they are without STOPGAP_TEMPLATE_DIR.
 * Words only; what the placeholders mean is in template.c. */
#ifndef STOPGAP_TEMPLATE_BUILTIN_H
#define STOPGAP_TEMPLATE_BUILTIN_H

#include "template.h"

extern const char *const template_builtin_texts[TEMPLATE_COUNT];

/* How to install a license of that format ("stopgap", "gitlab"): numbered lines. */
const char *template_builtin_install(const char *format);

#endif
