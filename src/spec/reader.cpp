#include "spec/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <string>

#include "spec/text.h"

namespace cloche::spec {
namespace {

using boost::json::error;
using boost::json::error_code;
using described::Member;
using described::Shape;
using described::Type;

// A config of the specification is eight levels deep; this bounds the parser's recursion, also inside of what
// is skipped.
constexpr size_t kDeepest = 32;
constexpr size_t kMostWarnings = 20;

// Top-level keys of the specification that concern other systems.
constexpr std::array<std::string_view, 5> kOtherSystems{"freebsd", "solaris", "vm", "windows", "zos"};

std::string_view expected_word(Shape shape) {
  switch (shape) {
    case Shape::object:
    case Shape::map:
      return "an object";
    case Shape::array:
      return "an array";
    case Shape::text:
      return "a string";
    case Shape::boolean:
      return "true or false";
    case Shape::integer:
      return "a number";
  }
  return "something else";
}

// The handler of Boost.JSON's parser: it calls these functions in the order of the text.
class Handler {
 public:
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);

  Handler(std::string_view json, const Type& type, void* place, std::vector<Problem>& warnings)
      : json_(json), warnings_(warnings), next_type_(&type), next_place_(place) {}

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code& ec) { return enter(Shape::object, Shape::map, ec); }
  bool on_array_begin(error_code& ec) { return enter(Shape::array, Shape::array, ec); }
  bool on_object_end(size_t, error_code&) { return leave(); }
  bool on_array_end(size_t, error_code&) { return leave(); }

  bool on_key_part(boost::json::string_view part, size_t, error_code&) {
    if (skipping_ == 0) pieces_.append(part.data(), part.size());
    return true;
  }
  bool on_key(boost::json::string_view last, size_t, error_code& ec) {
    if (skipping_ > 0) return true;
    Frame& frame = top();
    const std::string_view key(last.data(), last.size());
    if (pieces_.empty() && is_in_text(key)) {
      frame.key = key;
    } else {
      // A key with an escape comes in pieces, each in a buffer of the parser that is gone after this call.
      frame.escaped_key = std::exchange(pieces_, {}).append(key);
      frame.key = frame.escaped_key;
    }
    return frame.type->shape == Shape::map ? choose_entry(frame, ec) : choose_member(frame);
  }

  bool on_string_part(boost::json::string_view part, size_t, error_code&) {
    if (skipping_ == 0) pieces_.append(part.data(), part.size());
    return true;
  }
  bool on_string(boost::json::string_view last, size_t, error_code& ec) {
    if (skipping_ > 0) return true;
    std::string_view text(last.data(), last.size());
    if (!pieces_.empty()) text = pieces_.append(text);
    const bool good = store_text(text, ec);
    pieces_.clear();
    return good;
  }

  bool on_number_part(boost::json::string_view, error_code&) { return true; }
  bool on_int64(int64_t value, boost::json::string_view text, error_code& ec) {
    const Type* type = scalar();
    if (type == nullptr) return done();
    if (type->shape != Shape::integer) return mismatch(*type, "a number", ec);
    if (value < type->smallest || (value > 0 && static_cast<uint64_t>(value) > type->largest))
      return out_of_range(*type, text, ec);
    type->store(place(*type), static_cast<uint64_t>(value));
    return done();
  }
  bool on_uint64(uint64_t value, boost::json::string_view text, error_code& ec) {
    const Type* type = scalar();
    if (type == nullptr) return done();
    if (type->shape != Shape::integer) return mismatch(*type, "a number", ec);
    if (value > type->largest) return out_of_range(*type, text, ec);
    type->store(place(*type), value);
    return done();
  }
  bool on_double(double, boost::json::string_view text, error_code& ec) {
    const Type* type = scalar();
    if (type == nullptr) return done();
    if (type->shape != Shape::integer) return mismatch(*type, "a number", ec);
    if (text.find_first_of(".eE") == boost::json::string_view::npos) return out_of_range(*type, text, ec);
    return refuse(fmt::format("expected a whole number without point or exponent, found {}",
                              printable({text.data(), text.size()}, 32)),
                  ec);
  }
  bool on_bool(bool value, error_code& ec) {
    const Type* type = scalar();
    if (type == nullptr) return done();
    if (type->shape != Shape::boolean) return mismatch(*type, value ? "true" : "false", ec);
    *static_cast<bool*>(place(*type)) = value;
    return done();
  }
  // As if the key were absent, which is what Go's encoding/json, and so runc, makes of it. An element of an
  // array cannot be absent.
  bool on_null(error_code& ec) {
    if (skipping_ > 0) return true;
    const Type* type = scalar();
    if (type != nullptr && (depth_ == 0 || top().type->shape == Shape::array))
      return mismatch(*type, "null", ec);
    return done();
  }

  bool on_comment_part(boost::json::string_view, error_code&) { return true; }
  bool on_comment(boost::json::string_view, error_code&) { return true; }

  // The field that is being read.
  [[nodiscard]] std::string path() const {
    std::string path;
    for (size_t i = 0; i < depth_; ++i) {
      const Frame& frame = frames_[i];
      if (frame.type->shape == Shape::array)
        fmt::format_to(std::back_inserter(path), "[{}]", frame.index);
      else if (frame.key.data() != nullptr)
        append_key(path, frame.key);
    }
    return path;
  }

  std::optional<Problem> problem;

 private:
  struct Frame {
    const Type* type = nullptr;
    void* object = nullptr;
    uint64_t seen = 0;  // object: one bit for each member
    size_t index = 0;  // array: the element that comes next
    size_t expected = 0;  // object: the member that is likely to come next
    std::string_view key;
    std::string escaped_key;
  };

  [[nodiscard]] bool is_in_text(std::string_view part) const {
    const std::less_equal<> in_order;
    return in_order(json_.data(), part.data()) &&
           in_order(part.data() + part.size(), json_.data() + json_.size());
  }

  Frame& top() { return frames_[depth_ - 1]; }

  // The type of the value that begins now; null where it is not kept.
  const Type* scalar() {
    if (skipping_ > 0) return nullptr;
    return depth_ > 0 && top().type->shape == Shape::array ? top().type->element : next_type_;
  }

  // Where it is put. Makes the element or the optional that holds it.
  void* place(const Type& type) {
    void* at =
        depth_ > 0 && top().type->shape == Shape::array ? top().type->append(top().object) : next_place_;
    return type.engage == nullptr ? at : type.engage(at);
  }

  // A value is complete.
  bool done() {
    if (skipping_ == 0 && depth_ > 0) ++top().index;
    return true;
  }

  bool enter(Shape one, Shape other, error_code& ec) {
    const Type* type = scalar();
    if (type == nullptr) {
      ++skipping_;
      return true;
    }
    if (type->shape != one && type->shape != other)
      return mismatch(*type, one == Shape::array ? "an array" : "an object", ec);
    void* object = place(*type);
    Frame& frame = frames_[depth_++];
    frame.type = type;
    frame.object = object;
    frame.seen = frame.index = frame.expected = 0;
    frame.key = {};
    return true;
  }

  bool leave() {
    if (skipping_ > 0)
      --skipping_;
    else
      --depth_;
    return done();
  }

  bool choose_member(Frame& frame) {
    const auto members = frame.type->members;
    size_t at = frame.expected;
    if (at >= members.size() || members[at].name != frame.key) {
      at = 0;
      while (at < members.size() && members[at].name != frame.key) ++at;
    }
    if (at == members.size()) {
      next_type_ = nullptr;
      warn_unknown(members);
      return true;
    }
    next_type_ = members[at].type;
    next_place_ = members[at].of(frame.object);
    frame.expected = at + 1;
    if (const uint64_t bit = uint64_t{1} << at; (frame.seen & bit) == 0)
      frame.seen |= bit;
    else
      take_the_later();
    return true;
  }

  bool choose_entry(Frame& frame, error_code& ec) {
    if (frame.key.find('\0') != std::string_view::npos) return refuse("the key holds a NUL byte", ec);
    bool is_new = true;
    next_type_ = frame.type->element;
    next_place_ = frame.type->at(frame.object, std::string(frame.key), is_new);
    if (!is_new) take_the_later();
    return true;
  }

  // Boost and Go both keep the last of two equal keys; so do we, and say it.
  void take_the_later() {
    next_type_->clear(next_place_);
    warn("given twice; the later one counts");
  }

  void warn_unknown(std::span<const Member> members) {
    if (depth_ == 1 && std::ranges::find(kOtherSystems, top().key) != kOtherSystems.end())
      warn("not for Linux; ignored");
    else if (warnings_.size() >= kMostWarnings)
      warn({});
    else if (const auto meant = nearest(top().key, members))
      warn(fmt::format("unknown key (did you mean \"{}\"?)", *meant));
    else
      warn("unknown key; ignored");
  }

  void warn(std::string what) {
    if (warnings_.size() < kMostWarnings)
      warnings_.push_back({.path = path(), .what = std::move(what)});
    else if (warnings_.size() == kMostWarnings)
      warnings_.push_back({.path = "", .what = "there are more such warnings"});
  }

  bool store_text(std::string_view text, error_code& ec) {
    const Type* type = scalar();
    if (type == nullptr) return done();
    if (type->shape != Shape::text) return mismatch(*type, "a string", ec);
    // Sooner or later each of them is a C string of the kernel, which would end there.
    if (text.find('\0') != std::string_view::npos) return refuse("the string holds a NUL byte", ec);
    static_cast<std::string*>(place(*type))->assign(text);
    return done();
  }

  bool mismatch(const Type& type, std::string_view found, error_code& ec) {
    return refuse(fmt::format("expected {}, found {}", expected_word(type.shape), found), ec);
  }

  bool out_of_range(const Type& type, boost::json::string_view text, error_code& ec) {
    return refuse(fmt::format("{} is out of range ({} to {})", printable({text.data(), text.size()}, 32),
                              type.smallest, type.largest),
                  ec);
  }

  bool refuse(std::string what, error_code& ec) {
    problem = Problem{.path = path(), .what = std::move(what)};
    ec = error::input_error;
    return false;
  }

  std::string_view json_;
  std::vector<Problem>& warnings_;
  std::array<Frame, kDeepest + 1> frames_;
  size_t depth_ = 0;
  size_t skipping_ = 0;  // how deep in something that is not kept
  const Type* next_type_;  // for the value after a key, or the whole document
  void* next_place_;
  std::string pieces_;  // of a string with escapes
};

// The first byte at or shortly before `at` that belongs to no UTF-8 sequence: the parser may stop behind or
// inside one.
std::optional<size_t> byte_outside_utf8(std::string_view json, size_t at) {
  size_t start = at - std::min<size_t>(at, 4);
  while (start < at && (static_cast<unsigned char>(json[start]) & 0xc0) == 0x80) ++start;
  while (start <= at) {
    const size_t length = utf8_length(json.substr(start));
    if (length == 0) return start;
    start += length;
  }
  return std::nullopt;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Whether the six bytes before `at` are an escape like \ud83d, which needs a second one behind it.
bool follows_high_surrogate(std::string_view json, size_t at) {
  if (at < 6) return false;
  const std::string_view escape = json.substr(at - 6, 4);
  return escape.starts_with("\\u") && (escape[2] | 0x20) == 'd' &&
         std::string_view("89abAB").find(escape[3]) != std::string_view::npos;
}

std::string unexpected_byte(std::string_view json, size_t at) {
  if (json.starts_with("\xef\xbb\xbf") && at < 3) return "a byte order mark stands before the document";
  if (const auto bad = byte_outside_utf8(json, at))
    return fmt::format("byte {:#04x} is not UTF-8", static_cast<unsigned char>(json[*bad]));
  const auto byte = static_cast<unsigned char>(json[at]);
  if (byte < 0x20 || byte == 0x7f) return fmt::format("unexpected control character {:#04x}", byte);
  size_t length = utf8_length(json.substr(at));
  while (is_letter(json[at]) && length < 16 && at + length < json.size() && is_letter(json[at + length]))
    ++length;
  return fmt::format("unexpected '{}'", printable(json.substr(at, std::max<size_t>(length, 1))));
}

std::string syntax_sentence(std::string_view json, size_t at, error_code ec) {
  if (ec == error::too_deep) return fmt::format("nested deeper than {} levels", kDeepest);
  if (ec == error::exponent_overflow) return "a number with an exponent that is out of range";
  if (ec == error::illegal_leading_surrogate || ec == error::illegal_trailing_surrogate ||
      ec == error::expected_utf16_escape || (ec == error::syntax && follows_high_surrogate(json, at)))
    return "a \\u escape that is half of a surrogate pair";
  if (ec == error::expected_hex_digit) return "a \\u escape needs four hexadecimal digits";
  if (ec == error::incomplete || at >= json.size()) return "the document ends too early";
  return unexpected_byte(json, at);
}

Problem syntax_problem(std::string_view json, size_t at, error_code ec, const std::string& path) {
  std::string what = fmt::format("{}: {}", line_and_column(json, at), syntax_sentence(json, at, ec));
  if (!path.empty()) what += fmt::format(" (in {})", path);
  return {.path = "", .what = std::move(what)};
}

}  // namespace

std::optional<Problem> read_into(std::string_view json, const Type& type, void* place,
                                 std::vector<Problem>& warnings) {
  constexpr std::string_view space = " \t\r\n";
  if (json.find_first_not_of(space) == std::string_view::npos) return Problem{"", "the document is empty"};
  boost::json::parse_options options;
  options.max_depth = kDeepest;
  boost::json::basic_parser<Handler> parser(options, json, type, place, warnings);
  error_code ec;
  const size_t used = parser.write_some(false, json.data(), json.size(), ec);
  if (parser.handler().problem) return std::move(parser.handler().problem);
  if (ec) return syntax_problem(json, used, ec, parser.handler().path());
  if (const size_t rest = json.find_first_not_of(space, used); rest != std::string_view::npos)
    return Problem{"", fmt::format("{}: the document has ended before this", line_and_column(json, rest))};
  return std::nullopt;
}

}  // namespace cloche::spec
