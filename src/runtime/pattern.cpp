#include "runtime/pattern.h"

#include <fmt/format.h>
#include <regex.h>

#include "sys/flags.h"

namespace cloche::runtime {

sys::Result<std::vector<Container>> containers_that_fit(const StateRoot& root, const std::string& pattern,
                                                        std::vector<std::string>& problems) {
  regex_t compiled;
  if (const int wrong = ::regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB); wrong != 0) {
    char why[128];
    ::regerror(wrong, &compiled, why, sizeof why);
    return sys::fail_because(fmt::format("{} is no regular expression: {}", sys::in_quotes(pattern), why));
  }
  auto all = load_all(root, problems);
  if (all)
    std::erase_if(*all, [&](const Container& container) {
      return ::regexec(&compiled, container.state.id.c_str(), 0, nullptr, 0) != 0;
    });
  ::regfree(&compiled);
  return all;
}

}  // namespace cloche::runtime
