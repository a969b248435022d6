// See json.h. The only file that includes nlohmann-json.
// SPDX-License-Identifier: Apache-2.0
#include "shard/data/json.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "protocol/base/limits.h"

namespace coshard::shard {

/// Receives the parser's events and grows the tree, refusing what exceeds the limits.
class JsonBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return add(Json()); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(std::int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override { return add(Json(std::uint64_t{value})); }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(std::size_t) override { return open(Json(Json::Object{})); }
  bool start_array(std::size_t) override { return open(Json(Json::Array{})); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) return refuse("key \"" + name + "\" appears twice");
    std::get<Json::Object>(open_.back()->value_).emplace_back(std::move(name), Json());
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("not JSON at byte " + std::to_string(position));
  }

  Json root;
  std::string error;

 private:
  bool refuse(std::string reason) {
    if (error.empty()) error = std::move(reason);
    return false;
  }
  /// Puts a value where the text has it; a pointer to it stays valid while it is the last of its
  /// parent.
  Json* place(Json value) {
    if (++values_ > limits::kJsonValuesMax) {
      refuse("expected at most " + std::to_string(limits::kJsonValuesMax) + " values");
      return nullptr;
    }
    if (open_.empty()) return &(root = std::move(value));
    if (auto* array = std::get_if<Json::Array>(&open_.back()->value_))
      return &array->emplace_back(std::move(value));
    Json& member = std::get<Json::Object>(open_.back()->value_).back().second;
    member = std::move(value);
    return &member;
  }
  bool add(Json value) { return place(std::move(value)) != nullptr; }
  bool open(Json value) {
    if (open_.size() == limits::kJsonDepthMax)
      return refuse("expected at most " + std::to_string(limits::kJsonDepthMax) + " levels");
    Json* placed = place(std::move(value));
    if (placed == nullptr) return false;
    open_.push_back(placed);
    keys_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  std::vector<Json*> open_;
  std::vector<std::unordered_set<std::string>> keys_;  ///< of each open object
  std::size_t values_ = 0;
};

namespace {

void write_string(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

/// The shortest decimal that reads back as the same double, always with a mark of being no integer.
std::string number_text(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

class Writer {
 public:
  Writer(std::string& out, int indent) : out_(out), indent_(indent) {}
  void operator()(std::nullptr_t) { out_ += "null"; }
  void operator()(bool value) { out_ += value ? "true" : "false"; }
  void operator()(std::int64_t value) { out_ += std::to_string(value); }
  void operator()(std::uint64_t value) { out_ += std::to_string(value); }
  void operator()(double value) { out_ += number_text(value); }
  void operator()(const std::string& value) { write_string(out_, value); }
  void operator()(const Json::Array& items) {
    list('[', ']', items, [&](const Json& item) { value(item); });
  }
  void operator()(const Json::Object& members) {
    list('{', '}', members, [&](const auto& member) {
      write_string(out_, member.first);
      out_ += indent_ > 0 ? ": " : ":";
      value(member.second);
    });
  }
  void value(const Json& json) {
    if (json.object() != nullptr)
      (*this)(*json.object());
    else if (json.array() != nullptr)
      (*this)(*json.array());
    else
      out_ += json.text();
  }

 private:
  template <class Items, class Each>
  void list(char open, char close, const Items& items, const Each& each) {
    out_ += open;
    ++level_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ',';
      line();
      each(items[i]);
    }
    --level_;
    if (!items.empty()) line();
    out_ += close;
  }
  void line() {
    if (indent_ > 0) out_ += '\n' + std::string(static_cast<std::size_t>(indent_ * level_), ' ');
  }

  std::string& out_;
  int indent_;
  int level_ = 0;
};

template <class T>
Result<T> wrong_type(std::string_view key, std::string_view expected, const Json* found) {
  std::string text = found == nullptr ? "nothing" : found->text();
  if (text.size() > 60) text = text.substr(0, 60) + "...";
  return fail(ErrorCode::kInvalidArgument, "\"" + std::string(key) + "\": expected " +
                                               std::string(expected) + ", found " + text);
}

}  // namespace

Result<Json> Json::parse(std::string_view text) {
  JsonBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return fail(ErrorCode::kInvalidArgument, builder.error);
  return std::move(builder.root);
}

std::string Json::text(int indent) const {
  std::string out;
  std::visit(Writer(out, indent), value_);
  return out;
}

const Json* Json::find(std::string_view key) const {
  if (const Object* members = object())
    for (const auto& [name, member] : *members)
      if (name == key) return &member;
  return nullptr;
}

Result<std::string> Json::string_at(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr || member->string() == nullptr)
    return wrong_type<std::string>(key, "a string", member);
  return *member->string();
}

Result<std::uint64_t> Json::natural_at(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr || member->natural() == nullptr)
    return wrong_type<std::uint64_t>(key, "a non-negative integer", member);
  return *member->natural();
}

Result<double> Json::number_at(std::string_view key) const {
  const Json* member = find(key);
  if (member != nullptr) {
    if (const auto* real = std::get_if<double>(&member->value_)) return *real;
    if (const auto* natural = member->natural()) return static_cast<double>(*natural);
    if (const auto* integer = std::get_if<std::int64_t>(&member->value_))
      return static_cast<double>(*integer);
  }
  return wrong_type<double>(key, "a number", member);
}

Result<const Json::Array*> Json::array_at(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr || member->array() == nullptr)
    return wrong_type<const Array*>(key, "a list", member);
  return member->array();
}

Result<const Json::Object*> Json::object_at(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr || member->object() == nullptr)
    return wrong_type<const Object*>(key, "an object", member);
  return member->object();
}

}  // namespace coshard::shard
