#include "plan/plan.h"

#include "plan/catalog.h"
#include "plan/planner.h"
