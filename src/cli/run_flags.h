// The flags of `cloche run`, declared once: `run` and `explain run` parse with the same table.
#pragma once

#include <CLI/App.hpp>
#include <expected>
#include <string>

#include "engine/run_options.h"

namespace cloche::cli {

void declare_run_flags(CLI::App& app, engine::RunOptions& options);
// After the parse: image and command out of what is left over. The error is one sentence.
std::expected<void, std::string> take_image_and_command(const CLI::App& app, engine::RunOptions& options);

}  // namespace cloche::cli
