"""What a reader of a ledger keeps (ledger/FORMAT.md, State), and the arithmetic of shares and money."""
# SPDX-License-Identifier: Apache-2.0
from encoding import domain_hash, encode, require
from tree import Tree

ROW = ("posted", "pending", "bonded", "owed", "frac", "last", "in_flight", "entries", "payouts")
COMPUTE, DATA, DESIGN, TREASURY = range(4)


def f(h, c):
    return 2 * h * c - c * (c - 1) // 2


def weight(h, n):
    """W(n) of the page."""
    if h == 0:
        return n
    k = 0
    while f(h, h) << k < 2**61:
        k += 1
    q, r = divmod(n, h)
    out = sum((f(h, h) << k) >> i for i in range(min(q, 127)))
    return out + ((f(h, r) << k) >> q if q < 127 else 0)


def emitted(genesis, step):
    """U(s) of the page."""
    h, before = genesis["half_life_steps"], genesis["steps_before"]
    whole = weight(h, genesis["total_steps"] - before)
    return genesis["unit_cap"] * weight(h, step - before) // whole


def largest_remainder(amount, weights):
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    shares = [amount * one // whole for one in weights]
    order = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % whole))
    for i in order[:amount - sum(shares)]:
        shares[i] += 1
    return shares


class Epoch:
    def __init__(self, close, commitment):
        self.close, self.commitment = close, commitment
        self.status = "closed"
        self.totals = {(one["stage"], one["node"]): one for one in close["totals"]}
        self.batches, self.lines, self.voided = set(), [], set()
        self.burnt, self.seed = 0, bytes(32)

    def is_complete(self):
        return len(self.batches) == len(self.totals)

    def covers(self, step):
        return self.close["first_step"] <= step <= self.close["last_step"]


class State:
    def __init__(self):
        self.size = self.seq_ms = self.sequence = 0
        self.genesis, self.network = None, bytes(32)
        self.rows = {}
        self.nodes, self.witnesses = {}, {}
        self.log_keys = []
        self.announced, self.epochs = [], []
        self.covered = self.committed = 0
        self.checkpoints, self.burnt_rest = {}, False
        self.params, self.grants = {}, {}
        self.units = dict(cap=0, posted=0, pending=0, burnt=0, remaining=0)
        self.money = dict(revenue=0, paid=0, in_flight=0, owed=0, held=0, deficit=0, acc=0, rem=0,
                          frac=0)
        self.lots, self.releases = {}, {}
        self.recoveries, self.roots, self.reserved = {}, {}, {}
        self.payouts, self.revenues, self.statements = {}, {}, set()

    # ---- the round

    @property
    def now(self):
        return len(self.epochs)

    @property
    def stages(self):
        return len(self.genesis["stage_prices"])

    def is_over(self):
        done = not self.announced and self.covered >= self.genesis["total_steps"]
        return self.burnt_rest or done

    def epoch(self, number):
        return self.epochs[number] if number < len(self.epochs) else None

    def params_at(self, epoch):
        first = [one for one in self.params if one <= epoch]
        return self.params[max(first)] if first else self.genesis["params"]

    def grants_at(self, role, epoch):
        first = [one for kind, one in self.grants if kind == role and one <= epoch]
        if first:
            return self.grants[role, max(first)]
        return self.genesis[("", "data", "design", "treasury")[role]]

    def lines_of(self, epoch):
        """The lines of an epoch's credit (Shares)."""
        genesis, close, amount = self.genesis, epoch.close, 0
        for step in range(close["first_step"], close["last_step"] + 1):
            among = [one for one in self.epochs if one.covers(step)]
            n, i = len(among), among.index(epoch)
            whole = emitted(genesis, step) - emitted(genesis, step - 1)
            amount += whole * (i + 1) // n - whole * i // n
        by_role = largest_remainder(amount, genesis["split"])
        work = {}
        for total in close["totals"]:
            account = self.nodes[total["node"]]["account"]
            price = genesis["stage_prices"][total["stage"]]
            work[account] = work.get(account, 0) + price * total["tokens"]
        lines = []
        for role in range(4):
            weights = work if role == COMPUTE else {
                one["account"]: one["basis_points"] for one in self.grants_at(role, close["epoch"])}
            accounts = sorted(weights)
            shares = largest_remainder(by_role[role], [weights[one] for one in accounts])
            lines += [dict(account=account, role=role, units=units)
                      for account, units in zip(accounts, shares) if units]
        return sorted(lines, key=lambda one: (one["account"], one["role"]))

    # ---- keys

    def speaks_for(self, root):
        own = domain_hash("account", root)
        if own in self.roots:
            return None
        if own not in self.reserved:
            return own
        account = self.reserved[own]
        return account if self.roots.get(account) == root else None

    def is_member(self, account):
        return account in self.rows or any(
            one["account"] == account for one in self.nodes.values())

    # ---- owners

    def row(self, account):
        return self.rows.setdefault(account, dict.fromkeys(ROW, 0))

    def bonded(self, account):
        """Without due releases."""
        if account not in self.rows:
            return 0
        due = [units for at, units in self.releases.get(account, []) if self.is_due(at)]
        return self.rows[account]["bonded"] - sum(due)

    def is_due(self, at):
        return self.is_over() or self.now >= at

    def free(self, account):
        if account not in self.rows:
            return 0
        unvested = 0
        if not self.is_over():
            for start, duration, units in self.lots.get(account, []):
                unvested += units - units * min(self.now - start, duration) // duration
        return max(0, self.rows[account]["posted"] - self.bonded(account) - unvested)

    def touch(self, account):
        self.row(account)["bonded"] = self.bonded(account)
        self.releases[account] = [
            one for one in self.releases.get(account, []) if not self.is_due(one[0])]

    # ---- money

    def settled(self, row):
        earned = row["posted"] * (self.money["acc"] - row["last"]) + row["frac"]
        return row["owed"] + (earned >> 64), earned % 2**64

    def settle(self, account):
        row = self.row(account)
        owed, frac = self.settled(row)
        self.money["owed"] += owed - row["owed"]
        self.money["frac"] += frac - row["frac"]
        row.update(owed=owed, frac=frac, last=self.money["acc"])

    def add_units(self, account, units):
        self.settle(account)
        self.row(account)["posted"] += units
        self.units["posted"] += units

    def take_units(self, account, units):
        self.settle(account)
        row = self.row(account)
        row["posted"] -= units
        self.units["posted"] -= units
        if row["posted"] == 0:
            self.money["rem"] += row["frac"]
            self.money["frac"] -= row["frac"]
            row["frac"] = 0

    def report(self, amount):
        money = self.money
        money["revenue"] += amount
        kept = min(amount, money["deficit"])
        money["deficit"] -= kept
        left = amount - kept
        if self.units["posted"] == 0:
            money["held"] += left
            return
        n = ((left + money["held"]) << 64) + money["rem"]
        money["held"] = 0
        money["acc"] += n // self.units["posted"]
        money["rem"] = n % self.units["posted"]

    def retract(self, amount):
        money = self.money
        money["revenue"] -= amount
        unspread = min(amount, money["held"])
        money["held"] -= unspread
        money["deficit"] += amount - unspread

    def check_conserved(self):
        """The equations of the page; a reader who breaks them has a bug of his own."""
        units, money = self.units, self.money
        assert sum(units[one] for one in ("posted", "pending", "burnt", "remaining")) == units["cap"]
        whole = money["owed"] + money["paid"] + money["in_flight"] + money["held"]
        unsettled = sum(
            row["posted"] * (money["acc"] - row["last"]) for row in self.rows.values())
        assert ((whole - money["deficit"] - money["revenue"]) << 64) + money["frac"] + \
            money["rem"] + unsettled == 0

    # ---- what it adds up to

    def snapshot(self):
        tree = Tree()
        for account in sorted(self.rows):
            tree.append(encode("row", dict(self.rows[account], account=account)))
        return dict(entries=self.size, owners_root=tree.root(), owners=len(self.rows),
                    units=self.units, money=self.money)

    def root(self):
        return domain_hash("state", encode("state_snapshot", self.snapshot()))

    def check_text(self, text):
        require(len(text) <= 1024, "a text of more than 1024 bytes")
