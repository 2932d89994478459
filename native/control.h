#ifndef CONTROL_H
#define CONTROL_H

#include "player.h"

void report_warning(struct player *player, int error, const char *text);
_Noreturn void report_failure(struct player *player, int error, const char *text);

/* Ends the player if the launcher has ended before it had recorded the container. */
void end_without_launcher(const struct player *player);

#endif
