"""A single record, as eager code and walks back run them, with the team.

Where that is faster is learned for each kind of record as for a program (`pace`): a record is a program of one row.
Python's lock is kept, because the tables are in the middle of a call.
"""

from ..kernels.abi import R_KERNEL, R_WORDS
from ..kernels.plain import call_part
from .atomics import store_release, swap_if
from .block import T_BUSY, T_RECORD, WORD
from .layout import SEGMENT_BEGIN, SEGMENT_END, SEGMENT_PARTS, SEGMENT_REPORT, SHARED
from .pace import note_of, pace
from .pointers import load_word, store_word


def share(record, team, extent):
    """Run the record at an address, with the team where that is faster; of a kind are those of one kernel and extent.

    It is compiled as a kernel is, which makes it a call away from code that knows nothing of teams.
    """
    kernel = load_word(record, R_KERNEL)
    if not swap_if(team, T_BUSY, 0, 1):
        call_part(kernel, record, 0, 1)
        return
    table = team + T_RECORD * WORD
    store_word(table, SEGMENT_BEGIN, record)
    store_word(table, SEGMENT_END, record + load_word(record, R_WORDS) * WORD)
    store_word(table, SEGMENT_PARTS, SHARED)
    store_word(table, SEGMENT_REPORT, 0)
    pace(team, note_of(team, 31 * kernel + extent), table, 1, 1)
    store_release(team, T_BUSY, 0)
