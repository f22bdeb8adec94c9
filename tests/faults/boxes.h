// The containers that faults are made in.
#pragma once

#include <string>

#include "support/bundle.h"
#include "support/test_user.h"

namespace cloche::faults {

// What a container can see of what was done for it, the same in each run: printed by its command. A restriction that is
// missing shows in it.
extern const char* const kSelfPortrait;

// Root's container with a step of every kind that needs no controller: each change is what adds them.
void make_rich(test::Bundle& bundle, const std::string& scratch);
// What a detached container cannot have is taken away: the terminal.
void make_detached(test::Bundle& bundle);

// An ordinary user's container, with the ids of newuidmap.
void make_rootless(test::Bundle& bundle, const test::TestUser& user);

}  // namespace cloche::faults
