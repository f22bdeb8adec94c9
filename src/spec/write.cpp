#include "spec/write.h"

#include <fmt/format.h>

#include <concepts>

#include "spec/read_described.h"
#include "spec/text.h"

namespace cloche::spec {
namespace {

class Writer {
 public:
  explicit Writer(Layout layout) : indented_(layout == Layout::indented) {}

  template <class T>
  std::string document(const T& value) && {
    write(value);
    if (indented_) out_ += '\n';
    return std::move(out_);
  }

 private:
  void write(const std::string& text) { append_json_string(out_, text); }
  void write(bool value) { out_ += value ? "true" : "false"; }
  void write(std::integral auto number) { fmt::format_to(std::back_inserter(out_), "{}", number); }

  template <class T>
  void write(const std::vector<T>& elements) {
    open('[');
    for (const auto& element : elements) {
      next();
      write(element);
    }
    close(']');
  }

  template <class T>
  void write(const std::map<std::string, T>& entries) {
    open('{');
    for (const auto& [key, value] : entries) write_member(key, value);
    close('}');
  }

  template <class T>
    requires boost::describe::has_describe_members<T>::value
  void write(const T& object) {
    open('{');
    boost::mp11::mp_for_each<described::DescribedMembers<T>>([&](auto description) {
      write_present(described::key_name(description.name), object.*description.pointer);
    });
    close('}');
  }

  template <class T>
  void write_present(std::string_view key, const std::optional<T>& value) {
    if (value) write_member(key, *value);
  }
  template <class T>
  void write_present(std::string_view key, const T& value) {
    if constexpr (requires { value.empty(); }) {
      if (value.empty()) return;
    }
    write_member(key, value);
  }

  template <class T>
  void write_member(std::string_view key, const T& value) {
    next();
    append_json_string(out_, key);
    out_ += indented_ ? ": " : ":";
    write(value);
  }

  void open(char bracket) {
    out_ += bracket;
    ++depth_;
    first_ = true;
  }
  void close(char bracket) {
    --depth_;
    if (!first_) break_line();
    out_ += bracket;
    first_ = false;
  }
  void next() {
    if (!first_) out_ += ',';
    first_ = false;
    break_line();
  }
  void break_line() {
    if (!indented_) return;
    out_ += '\n';
    out_.append(depth_, '\t');
  }

  std::string out_;
  size_t depth_ = 0;
  bool indented_;
  bool first_ = true;
};

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text[0];
    size_t length = utf8_length(text);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
    } else if (length == 0) {
      out += "\xef\xbf\xbd";
      length = 1;
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out += '"';
}

std::string to_json(const Spec& spec, Layout layout) { return Writer(layout).document(spec); }
std::string to_json(const Process& process, Layout layout) { return Writer(layout).document(process); }
std::string to_json(const Resources& resources, Layout layout) { return Writer(layout).document(resources); }
std::string to_json(const Seccomp& seccomp, Layout layout) { return Writer(layout).document(seccomp); }

}  // namespace cloche::spec
