-- Addresses, networks and MAC addresses against Python's ipaddress and socket modules.
local address = require "tunfilter.address"

local vectors = python "address_vectors.py"

test("addresses are read and written as ipaddress does", function()
   for _, v in ipairs(vectors.addresses) do
      local text, version, canonical = unpack(v)
      if version then
         local a = address.ip(text)
         equal(a.version, version, text)
         equal(tostring(a), canonical, text)
         equal(a == text, true, text)
         equal(text == a, true, text)
         equal(a == address.ip(canonical), true, text)
         equal("<" .. a .. ">", "<" .. canonical .. ">")
         equal(address.text(a), canonical)
      else
         throws("is not an IP address", function() local _ = address.ip(text) end)
         equal(address.ip "1.2.3.4" == text, false, text)
      end
   end
end)

test("different addresses are different", function()
   local seen = {}
   for _, v in ipairs(vectors.addresses) do
      if v[2] then seen[v[3]] = address.ip(v[1]) end
   end
   for one, a in pairs(seen) do
      for other, b in pairs(seen) do
         equal(a == b, one == other, one .. " and " .. other)
         equal(a == other, one == other, one .. " and " .. other)
      end
   end
end)

test("networks contain what ipaddress says", function()
   for _, v in ipairs(vectors.networks) do
      local text, canonical, prefix, inside = unpack(v)
      if canonical then
         local net = address.net(text)
         equal(tostring(net), canonical, text)
         equal(net.prefix, prefix, text)
         equal(net == canonical, true, text)
         equal(net == address.net(canonical), true, text)
         for a, expected in pairs(inside) do
            equal(net:contains(a), expected, text .. " contains " .. a)
            equal(net:contains(address.ip(a)), expected, text .. " contains " .. a)
         end
      else
         throws("is not a network", function() local _ = address.net(text) end)
      end
   end
end)

test("networks of other lengths or families differ", function()
   equal(address.net "10.0.0.0/8" == address.net "10.0.0.0/9", false)
   equal(address.net "0.0.0.0/0" == address.net "::/0", false)
   equal(address.net "10.0.0.0/8" == "nonsense", false)
   equal(address.net "0.0.0.0/0":contains "::", false)
   equal(address.net "::/0":contains "0.0.0.0", false)
   equal(tostring(address.net(address.ip "fd77::1")), "fd77::1/128")
end)

test("MAC addresses", function()
   for _, text in ipairs { "02:00:5e:10:00:ff", "02:00:5E:10:00:FF", "02-00-5e-10-00-ff", "2:0:5e:10:0:ff" } do
      local m = address.mac(text)
      equal(tostring(m), "02:00:5e:10:00:ff")
      equal(m == text, true, text)
      equal(text == m, true, text)
      equal(m == address.mac "02:00:5e:10:00:ff", true)
   end
   local m = address.mac "02:00:5e:10:00:ff"
   equal(m == "02:00:5e:10:00:fe", false)
   equal(m == "03:00:5e:10:00:ff", false)
   equal(m == address.mac "02:00:5e:10:01:ff", false)
   equal(m .. "!", "02:00:5e:10:00:ff!")
   for _, text in ipairs { "", "02:00:5e:10:00", "02:00:5e:10:00:ff:00", "02:00:5e-10:00:ff", "02005e1000ff",
                           "02:00:5e:10:00:fff", "02:00:5e:10:00:fg", ":::::", "02:00:5e:10:00:ff:" } do
      throws("is not a MAC address", function() local _ = address.mac(text) end)
      equal(m == text, false, text)
   end
end)

test("values of different kinds are never equal, nor to anything else", function()
   local a, m, n = address.ip "1.2.3.4", address.mac "01:02:03:04:00:00", address.net "1.2.3.4"
   for _, x in ipairs { m, n, 5, "", "x", true, {}, print } do
      equal(a == x, false)
      equal(x == a, false)
      equal(a ~= x, true)
   end
   equal(a == nil, false)
   equal(m == nil, false)
   equal(m == n, false)
   equal(n == a, false)
end)

test("values cannot be changed", function()
   local a = address.ip "1.2.3.4"
   throws("constant", function() a.version = 6 end)
   throws("constant", function() a.a = 6 end)
   throws("an address cannot be changed", function() a.foo = 6 end)
   throws("an address cannot be changed", function() a[0] = 6 end)
   throws("a network cannot be changed", function() address.net("::/0").contains = 6 end)
   throws("a MAC address cannot be changed", function() address.mac("1:2:3:4:5:6")[1] = 6 end)
   throws("no member 'lenght'", function() local _ = a.lenght end)
   throws("did you mean 'contains'", function() local _ = address.net("::/0").contain end)
   equal(tostring(a), "1.2.3.4")
end)

test("wrong arguments say so", function()
   throws("tf.ip: expected an IP address, got 5", function() local _ = address.ip(5) end)
   throws("tf.ip: expected an IP address, got nil", function() local _ = address.ip() end)
   throws("tf.net: expected a network, got boolean", function() local _ = address.net(true) end)
   throws("contains: expected an IP address, got nil", function() local _ = address.net "::/0":contains() end)
   throws('contains: "foo" is not an IP address', function() local _ = address.net "::/0":contains "foo" end)
   throws("net:contains(address)", function() local _ = address.net "::/0".contains("::") end)
end)

test("remembering stays within bounds and right", function()
   for round = 1, 2 do
      for i = 0, 9999 do
         local text = ("10.%d.%d.%d"):format(round, math.floor(i / 256), i % 256)
         equal(tostring(address.ip(text)), text)
      end
   end
   equal(address.ip "1.2.3.4" == ("1"):rep(100000), false)
   collectgarbage()
end)
