/* Keeps mainstay-hub-notify running beside the hub, as a module of the hub without routes: the program that lies beside the
 * hub's own, with an empty environment and nothing but stderr; it ends with the hub, however that ends.  One that ends by
 * itself is started again with backoff. */
#pragma once

#include "appliance/serve/serve.h"

extern const struct serve_module notify_child_module;
