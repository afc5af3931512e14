From alpine As Base
Run echo
CoPy a b
fRoM Base aS FINAL
eNv A=B
