-- Text that compiled code makes of several addresses in one callback.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function scenario(name, link, net)
   t.scenario(name, { link = link }, function()
      for i = 0, 499 do
         local src, dst = net:format(i % 100 + 1), net:format(i % 90 + 101)
         local text, eth = src .. " > " .. dst, nil
         if link == "ethernet" then
            eth = { src = ("02:00:00:00:00:%02x"):format(i % 256), dst = ("02:00:00:00:01:%02x"):format(i % 250) }
            text = text .. ", " .. eth.src .. " > " .. eth.dst
         end
         t.send(tf.left, { eth = eth, ip = { src = src, dst = dst }, udp = {}, payload = text })
         t.expect_same(tf.right)
      end
   end)
end

scenario("IPv4", "ip", "10.0.0.%d")
scenario("IPv6", "ip", "fd77::%d")
scenario("Ethernet and IPv4", "ethernet", "10.0.0.%d")
scenario("Ethernet and IPv6", "ethernet", "fd77::%d")
