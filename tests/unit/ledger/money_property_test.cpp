// D13: random programs of mint, transfer, burn, revenue, correction and payout against a model that
// does what the rules mean in the slowest way there is: exact fractions, every owner at every
// event. COSHARD_MONEY_PROGRAMS says how many (10,000), COSHARD_MONEY_SEED where they begin (1).
// SPDX-License-Identifier: Apache-2.0
#include <gmpxx.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "ledger/revenue_pool.h"

namespace coshard::ledger {
namespace {

constexpr std::size_t kOwners = 5;
constexpr std::size_t kEvents = 24;
constexpr std::uint64_t kUnitsMax = std::uint64_t{1} << 40;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

mpz_class whole(uint128_t value) {
  const mpz_class high(static_cast<unsigned long>(value >> 64));
  return high * (mpz_class(1) << 64) + mpz_class(static_cast<unsigned long>(value));
}

/// A share of 2^-64 micro-units as a fraction of one.
mpq_class fraction(uint128_t value) {
  mpq_class out(whole(value), mpz_class(1) << 64);
  out.canonicalize();
  return out;
}

mpq_class number(std::uint64_t value) {
  return mpq_class(mpz_class(static_cast<unsigned long>(value)));
}

struct ModelOwner {
  std::uint64_t units = 0;
  mpq_class claim;  ///< micro-units
};

struct Model {
  std::array<ModelOwner, kOwners> owners;
  mpq_class held;  ///< also the fractions of those who left
  std::uint64_t deficit = 0;
  std::uint64_t revenue = 0;

  std::uint64_t units() const {
    std::uint64_t sum = 0;
    for (const ModelOwner& owner : owners) sum += owner.units;
    return sum;
  }
  void report(std::uint64_t amount) {
    revenue += amount;
    const std::uint64_t kept = std::min(amount, deficit);
    deficit -= kept;
    held += number(amount - kept);
    const std::uint64_t all = units();
    if (all == 0) return;
    for (ModelOwner& owner : owners) {
      mpq_class part(static_cast<unsigned long>(owner.units), static_cast<unsigned long>(all));
      part.canonicalize();
      owner.claim += held * part;
    }
    held = 0;
  }
};

/// One program: the pool and the model do the same, and agree after every event.
class Program {
 public:
  explicit Program(std::uint64_t seed) : random_(seed) {}

  void run() {
    for (std::size_t event = 0; event < kEvents; ++event) {
      step();
      compare(event + 1);
      if (testing::Test::HasFailure()) return;
    }
  }

 private:
  std::uint64_t up_to(std::uint64_t max) {
    // Small, middle and large amounts are equally likely.
    const std::uint64_t bits = std::uniform_int_distribution<std::uint64_t>(0, 40)(random_);
    const std::uint64_t bound = std::min(max, std::uint64_t{1} << bits);
    return std::uniform_int_distribution<std::uint64_t>(0, bound)(random_);
  }
  std::size_t someone() {
    return std::uniform_int_distribution<std::size_t>(0, kOwners - 1)(random_);
  }

  void step() {
    switch (std::uniform_int_distribution<int>(0, 7)(random_)) {
      case 0:
        return mint(someone(), up_to((kUnitsMax - model_.units()) / 2));
      case 1:
        return burn(someone());
      case 2:
        return transfer(someone(), someone());
      case 3:
      case 4:
        return report(up_to(kUnitsMax));
      case 5:
        return correct();
      case 6:
        return pay(someone());
      default:
        pool_.settle(shares_[someone()]);
    }
  }

  void mint(std::size_t who, std::uint64_t units) {
    pool_.add_units(shares_[who], units);
    model_.owners[who].units += units;
  }
  /// The fraction that the pool keeps of somebody who leaves goes to the others.
  void take(std::size_t who, std::uint64_t units) {
    const PoolShare before = pool_.settled(shares_[who]);
    pool_.take_units(shares_[who], units);
    model_.owners[who].units -= units;
    if (model_.owners[who].units > 0) return;
    model_.owners[who].claim -= fraction(before.frac);
    model_.held += fraction(before.frac);
  }
  void burn(std::size_t who) { take(who, std::min(up_to(kUnitsMax), shares_[who].posted)); }
  void transfer(std::size_t from, std::size_t to) {
    const std::uint64_t units = std::min(up_to(kUnitsMax), shares_[from].posted);
    if (from == to || units == 0) return;
    take(from, units);
    mint(to, units);
  }
  void report(std::uint64_t amount) {
    pool_.report(amount);
    // What left with nobody there to take it waits in `rem`, and in the model in `held`.
    model_.report(amount);
    reported_.push_back(amount);
  }
  void correct() {
    if (reported_.empty()) return;
    const std::uint64_t amount = std::min(up_to(kUnitsMax), reported_.back());
    reported_.back() -= amount;
    const std::uint64_t unspread = std::min(amount, pool_.totals().held);
    pool_.retract(amount);
    model_.revenue -= amount;
    model_.held -= number(unspread);
    model_.deficit += amount - unspread;
  }
  void pay(std::size_t who) {
    pool_.settle(shares_[who]);
    const std::uint64_t amount = std::min(up_to(kUnitsMax), shares_[who].owed);
    pool_.send(shares_[who], amount);
    if (up_to(1) == 0) {
      pool_.came_back(shares_[who], amount);
    } else {
      pool_.arrived(amount);
      model_.owners[who].claim -= number(amount);
      paid_ += amount;
    }
  }

  void compare(std::size_t events) {
    ASSERT_TRUE(pool_.conserved());
    uint128_t owed = 0, fractions = 0;
    // Each division leaves less than one 2^-64 micro-unit for each unit, which the next carries.
    const mpq_class tolerance = fraction(uint128_t{kUnitsMax} * 2 * events);
    for (std::size_t i = 0; i < kOwners; ++i) {
      const PoolShare share = pool_.settled(shares_[i]);
      owed += share.owed;
      fractions += share.frac;
      EXPECT_EQ(share.posted, model_.owners[i].units);
      const mpq_class has = number(share.owed) + fraction(share.frac);
      const mpq_class off = abs(has - model_.owners[i].claim);
      EXPECT_LE(off, tolerance) << "owner " << i << " has " << has << ", is due "
                                << model_.owners[i].claim;
      EXPECT_LE(number(share.owed), model_.owners[i].claim + tolerance);
    }
    const MoneyTotals& totals = pool_.totals();
    EXPECT_EQ(totals.revenue, model_.revenue);
    EXPECT_EQ(totals.paid, paid_);
    EXPECT_EQ(totals.deficit, model_.deficit);
    const mpz_class left =
        (whole(owed) + whole(totals.paid) + whole(totals.in_flight) + whole(totals.held)) *
            (mpz_class(1) << 64) +
        whole(fractions) + whole(totals.rem);
    const mpz_class right = (whole(totals.revenue) + whole(totals.deficit)) * (mpz_class(1) << 64);
    EXPECT_EQ(left, right) << "money was made or lost";
  }

  std::mt19937_64 random_;
  RevenuePool pool_;
  std::array<PoolShare, kOwners> shares_;
  Model model_;
  std::vector<std::uint64_t> reported_;
  std::uint64_t paid_ = 0;
};

TEST(AttackPrograms, D13_RandomProgramsAgreeWithExactFractions) {
  const std::uint64_t programs = from_environment("COSHARD_MONEY_PROGRAMS", 10'000);
  const std::uint64_t first = from_environment("COSHARD_MONEY_SEED", 1);
  for (std::uint64_t seed = first; seed < first + programs; ++seed) {
    Program(seed).run();
    ASSERT_FALSE(HasFailure()) << "COSHARD_MONEY_SEED=" << seed << " COSHARD_MONEY_PROGRAMS=1";
  }
}

}  // namespace
}  // namespace coshard::ledger
