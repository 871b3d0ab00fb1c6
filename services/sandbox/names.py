"""Who holds an account: a name made from the number, so it is the same for ever."""

import hashlib
import re

_FIRST = """
    ADI AGUS AHMAD ANDI ANI AYU BAGUS BAMBANG BUDI CITRA DEWI DIAN DWI EKA ENDANG FAJAR FITRI
    GALIH HADI HENDRA INDAH INTAN IRFAN JOKO KARTIKA LESTARI LINA MADE MAYA MEGA NANDA NUR
    PUTRI RATNA RINA RIZKY SARI SITI SRI TRI WAHYU WAYAN YULI YUSUF
"""
_LAST = """
    ANGGRAINI GUNAWAN HANDAYANI HARTONO HIDAYAT IRAWAN KURNIAWAN KUSUMA LESTARI MAHARANI
    MAULANA NASUTION NUGROHO PERMATA PRATAMA PURNOMO RAHAYU RAMADHAN SANTOSO SAPUTRA SETIAWAN
    SIREGAR SUHARTO SURYANI SUSANTO UTAMI WIBOWO WIJAYA WULANDARI YULIANTI
"""
FIRST = _FIRST.split()
LAST = _LAST.split()

# A virtual account is a prefix and a phone; the same company has one prefix per bank.
WALLETS = {
    "3901": "DANA",
    "89508": "DANA",
    "88810": "DANA",
    "8810": "DANA",
    "8059": "DANA",
    "8528": "DANA",
    "70001": "GOPAY",
    "39358": "OVO",
    "122": "SHOPEEPAY",
    "09110": "LINKAJA",
}
_WALLET = re.compile(rf"({'|'.join(WALLETS)})(?:0|62)8\d+")


def holder_of(account: str) -> str:
    """The holder's name, in capitals as banks print it; a wallet's name stands before it."""
    digest = hashlib.sha256(account.encode()).digest()
    name = f"{FIRST[digest[0] % len(FIRST)]} {LAST[digest[1] % len(LAST)]}"
    wallet = _WALLET.fullmatch(account)
    return f"{WALLETS[wallet[1]]} {name}" if wallet else name
