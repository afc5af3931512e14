target "default" {
  args = {
    a00 = 1
    a01 = 1.50
    a02 = 1e3
    a03 = -7
    a04 = 0.1 + 0.2
    a05 = 1/3
    a06 = 7 % 3
    a07 = -7 % 3
    a08 = 2 * 3 + 4
    a09 = 2 + 3 * 4
    a10 = (2 + 3) * 4
    a11 = 10 - 2 - 3
    a12 = 100 / 10 / 2
    a13 = 1 < 2
    a14 = 2 <= 2 && 3 > 4
    a15 = !true
    a16 = 1 == 1.0
    a17 = 1 == "1"
    a18 = "a" == "a"
    a19 = null == null
    a20 = [1] == [1]
    a21 = {a=1} == {a=1}
    a22 = true ? "y" : "n"
    a23 = false ? 1 : "n"
    a24 = jsonencode(true ? ["a"] : [1, 2])
    a25 = jsonencode(true ? {a=1} : {b="x"})
    a26 = jsonencode(false ? null : 3)
    a27 = 12345678901234567890123456789
    a28 = 0.000001
    a29 = 123456789.123456789
    a30 = 1e-7
    a31 = 1e25
    a32 = -1.5
    a33 = 9007199254740993
    a34 = -(5)
    a35 = absolute(-5)
    a36 = add(1,2)
    a37 = ceil(1.2)
    a38 = floor(-1.2)
    a39 = divide(10,4)
    a40 = int(-1.9)
    a41 = log(50,10)
    a42 = log(16,2)
    a43 = max(1,5,3)
    a44 = min(4,2)
    a45 = modulo(10,3)
    a46 = multiply(3,4)
    a47 = negate(3)
    a48 = parseint("ff",16)
    a49 = parseint("-101",2)
    a50 = parseint("zZ",62)
    a51 = pow(2,10)
    a52 = pow(2,0.5)
    a53 = signum(-4)
    a54 = subtract(5,7)
    a55 = greaterthan(1,2)
    a56 = greaterthanorequalto(2,2)
    a57 = lessthan(1,2)
    a58 = lessthanorequalto(3,2)
    a59 = and(true,false)
    a60 = or(true,false)
    a61 = not(true)
    a62 = equal("a","a")
    a63 = notequal(1,2)
    a64 = add("1",2)
    a65 = 1 + "2"
    a66 = "${1 + 1}"
    a67 = "x${true}"
    a68 = pow(10,30)
    a69 = 1e100 / 3
    a70 = 2.5 % 1
  }
}
