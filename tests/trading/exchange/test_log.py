"""The log: cut or damaged at any byte, used by two; folding it gives the same exchange."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.trading.exchange.orders import AAPL, START, cancel, order, replace
from trading.errors import ExchangeError, ExchangeLogError
from trading.exchange import DurableExchange, ExchangeSettings
from trading.exchange.log import INPUT, ExchangeLog, LogRecord
from trading.exchange.matching.inputs import (
    AddAccount,
    AddInstrument,
    BustTrade,
    CorrectTrade,
    ExchangeInput,
    MakerStep,
    RaiseEpoch,
    RejectNext,
    Request,
    SetPhase,
)

SETTINGS = ExchangeSettings(
    START, maker_fee="-0.2", taker_fee="1.5", maker_levels=3, maker_seed=4, maker_size=5
)


def inputs() -> list[ExchangeInput]:
    """An input of every kind; fills, stops, a bust and a correction come of them."""
    given: list[ExchangeInput] = [
        AddInstrument(START, AAPL, 10_000),
        AddAccount(START, "A", (("USD", 10**15),)),
        AddAccount(START, "B"),
        MakerStep(START),
        RaiseEpoch(START, "A", 3),
    ]
    asks = [
        order("1", 1, 30, 9_990),
        order("2", -1, 10, 9_990, account="B"),
        order("3", 1, 5, kind="STOP", stop=9_995),
        order("4", 1, 5, kind="TRAILING_STOP", trail=10),
        order("5", -1, 40, 9_985, account="B", tif="IOC"),
        replace("1", 25, 9_991),
        order("6", 1, 5, tif="AT_CLOSE"),
        cancel("3"),
    ]
    given += [Request(START + at, ask) for at, ask in enumerate(asks)]
    given += [
        RejectNext(START + 20, "B", 1),
        Request(START + 21, order("7", 1, 5, 9_000, account="B")),
        BustTrade(START + 22, 1, "wrong price"),
        CorrectTrade(START + 23, 2, 1, 9_980),
        SetPhase(START + 24, "CLOSED"),
        SetPhase(START + 25, "OPEN"),
        MakerStep(START + 26),
    ]
    return given


def fill(directory: Path, groups: int = 1) -> list[bytes]:
    """Write the inputs in so many groups; return the state after each group."""
    states = []
    with DurableExchange(directory, SETTINGS) as exchange:
        states.append(exchange.state.digest_bytes())
        given = inputs()
        size = -(-len(given) // groups)
        for at in range(0, len(given), size):
            for event in given[at : at + size]:
                exchange.stage(event)
            exchange.commit()
            states.append(exchange.state.digest_bytes())
    return states


def test_folding_the_log_gives_the_same_exchange_however_it_was_grouped(tmp_path: Path) -> None:
    last = {fill(tmp_path / str(groups), groups)[-1] for groups in (1, 3, 100)}
    assert len(last) == 1
    for groups in (1, 3, 100):
        with DurableExchange(tmp_path / str(groups), SETTINGS) as again:
            assert {again.state.digest_bytes()} == last
            assert again.log.torn == 0
            for account in ("A", "B"):
                said = again.reports(account, 0)
                assert len(said) == again.state.accounts[account].sequence > 5
                assert again.reports(account, 3, 2) == said[3:5]


def test_a_log_cut_at_any_byte_gives_the_last_whole_group(tmp_path: Path) -> None:
    states = fill(tmp_path / "whole", 7)
    whole = (tmp_path / "whole" / "exchange.log").read_bytes()
    ends = _ends_of_groups(whole)
    chance = random.Random(5)
    cuts = {*ends, *(end - 1 for end in ends), *(end + 1 for end in ends[:-1])}
    cuts |= {chance.randrange(ends[0], len(whole)) for _ in range(60)}
    for cut in sorted(cuts):
        directory = tmp_path / "cut"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "exchange.log").write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        with DurableExchange(directory, SETTINGS) as exchange:
            assert exchange.log.groups == max(kept, 1)
            if kept:
                assert exchange.log.torn == cut - ends[kept - 1]
                assert exchange.state.digest_bytes() == states[kept - 1]
            # It goes on from there, and what follows is whole.
            exchange.stage(RejectNext(START + 99, "A", 1) if kept > 1 else MakerStep(START + 99))
            exchange.commit()
        with DurableExchange(directory, SETTINGS) as exchange:
            assert exchange.log.torn == 0


def test_damage_before_the_end_is_told_and_nothing_is_thrown_away(tmp_path: Path) -> None:
    fill(tmp_path / "whole", 7)
    whole = (tmp_path / "whole" / "exchange.log").read_bytes()
    ends = _ends_of_groups(whole)
    chance = random.Random(6)
    for _ in range(40):
        at = chance.randrange(ends[-2])
        directory = tmp_path / "bad"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        bad = bytearray(whole)
        bad[at] ^= 1 << chance.randrange(8)
        (directory / "exchange.log").write_bytes(bad)
        with pytest.raises(ExchangeLogError, match="damaged and whole ones follow"):
            DurableExchange(directory, SETTINGS)
        assert (directory / "exchange.log").read_bytes() == bad


def _ends_of_groups(whole: bytes) -> list[int]:
    ends, at = [], 0
    while at < len(whole):
        at += 20 + int.from_bytes(whole[at + 4 : at + 8], "little")
        ends.append(at)
    assert ends[-1] == len(whole)
    return ends


def test_two_exchanges_cannot_use_one_directory(tmp_path: Path) -> None:
    with (
        DurableExchange(tmp_path, SETTINGS),
        pytest.raises(ExchangeLogError, match="used by another exchange"),
    ):
        DurableExchange(tmp_path, SETTINGS)
    with DurableExchange(tmp_path, SETTINGS):
        pass


def test_other_settings_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(ExchangeError, match="begun with other settings"):
        DurableExchange(tmp_path, ExchangeSettings(START, taker_fee="2"))


def test_reports_that_the_program_would_not_give_now_are_told(tmp_path: Path) -> None:
    """What a log says was told must be what its inputs lead to."""
    fill(tmp_path)
    with ExchangeLog(tmp_path) as log:
        groups = [[record for record, _ in group] for group in log.read()]
    (tmp_path / "exchange.log").unlink()
    with ExchangeLog(tmp_path) as log:
        for group in groups:
            kept = [each for each in group if each.kind == INPUT]
            other = [each for each in group if each.kind != INPUT]
            if other:
                at = group.index(other[0])
                changed = other[0]._replace(data=other[0].data[:-1] + b"\xc3")
                kept = [*group[:at], changed, *group[at + 1 :]]
            log.append(kept)
    with pytest.raises(ExchangeLogError, match="the same input leads to"):
        DurableExchange(tmp_path, SETTINGS)


def test_a_full_disk_ends_the_exchange_and_loses_nothing(tmp_path: Path) -> None:
    states = fill(tmp_path)
    exchange = DurableExchange(tmp_path, SETTINGS)
    exchange.stage(MakerStep(START + 50))
    size = (tmp_path / "exchange.log").stat().st_size
    # The kernel refuses to let a file grow beyond this limit, as a full disk does.
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
    try:
        with pytest.raises(ExchangeLogError, match="could not be written"):
            exchange.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
        exchange.close()
    with DurableExchange(tmp_path, SETTINGS) as again:
        assert again.log.torn == 10
        assert again.state.digest_bytes() == states[-1]


def test_a_record_of_a_log_says_where_its_bytes_are(tmp_path: Path) -> None:
    with ExchangeLog(tmp_path) as log:
        assert list(log.read()) == []
        positions = log.append([LogRecord(INPUT, 0, b"one"), LogRecord(INPUT, 0, b"second")])
        assert [log.data_at(each) for each in positions] == [b"one", b"second"]


def test_the_same_inputs_give_the_same_log_with_another_hash_seed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from tests.trading.exchange.test_log import fill; "
        "fill(pathlib.Path(sys.argv[1]), 3)"
    )
    logs = set()
    for seed in ("1", "2"):
        directory = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", program, str(directory)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            timeout=120,
            check=True,
        )
        logs.add((directory / "exchange.log").read_bytes())
    assert len(logs) == 1
