// What each command does, once its flags are parsed. Every function prints its answer on standard
// output, problems in one line on standard error, and returns the exit code (exit_code.h). Home
// thread: main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "node/cli/command_line.h"

namespace coshard::cli {

int run(const DemoCommand& command);
int run(const KeygenCommand& command);
int run(const PrepareCommand& command);
int run(const LaunchCommand& command);
int run(const RoundListCommand& command);
int run(const RoundStatusCommand& command);
int run(const RoundWatchCommand& command);
int run(const RoundControlCommand& command);
int run(const RoundExportCommand& command);
int run(const SimulateCommand& command);
int run(const NodeStatusCommand& command);
int run(const OwnershipCommand& command);
int run(const BalanceCommand& command);
int run(const StatementCommand& command);
int run(const VerifyCommand& command);
int run(const MonitorCommand& command);
int run(const ProofCommand& command);
int run(const RevenueRecordCommand& command);
int run(const RevenueCorrectCommand& command);
int run(const PayoutExportCommand& command);
int run(const PayoutConfirmCommand& command);
int run(const TransferOfferCommand& command);
int run(const TransferAcceptCommand& command);
int run(const TransferSubmitCommand& command);
int run(const BondCommand& command);
int run(const KeyRotateCommand& command);
int run(const KeyRevokeCommand& command);
int run(const KeyRecoveryCommand& command);
int run(const KeyWitnessCommand& command);
int run(const SettleCommand& command);
int run(const CreditVoidCommand& command);
int run(const PenaltyCommand& command);
int run(const GovernParamsCommand& command);
int run(const GovernGrantsCommand& command);
int run(const GovernSignCommand& command);
int run(const GovernSubmitCommand& command);

}  // namespace coshard::cli
