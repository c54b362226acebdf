---@meta tunfilter.lists
-- Stubs; see meta.lua.

--- Makes sets of networks; called as `tf.nets{ … }`, a list of addresses, networks, or strings that spell them.
---
---```lua
---local tf = require "tunfilter"
---local private = tf.nets{ "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7" }
---
---tf.on_packet(function(pkt)
---   if pkt.ip and private:contains(pkt.ip.dst) then return tf.drop end
---end)
---```
---@class tunfilter.NetsMaker
---@overload fun(list: (string|tunfilter.Address|tunfilter.Net)[]?): tunfilter.Nets
local nets_maker = {}

--- Reads a set from a file beside the script: an address or network a line, `#` comments; IPv4 and IPv6.
---
--- Errors: a file that cannot be read, or is not beside the script or in a folder there; a line that is no network, with
--- its number.
---@param path string relative to the script's folder
---@return tunfilter.Nets nets
function nets_maker.load(path) end

--- A set of networks. A look-up takes no longer however many there are. `#nets` is their number.
---@class tunfilter.Nets
local nets = {}

--- Whether an address is in one of the networks.
---@param address tunfilter.Address|string
---@return boolean inside
function nets:contains(address) end

--- The smallest network in the set that has an address.
---@param address tunfilter.Address|string
---@return tunfilter.Net? net nil for none
function nets:match(address) end

--- Adds an address or network.
---@param net tunfilter.Address|tunfilter.Net|string
---@return boolean added false if it was there
function nets:add(net) end

--- Removes an address or network as it was added; networks within it stay.
---@param net tunfilter.Address|tunfilter.Net|string
---@return boolean removed false if it was not there
function nets:remove(net) end

--- Makes sets of domain names; called as `tf.names{ … }`, a list of strings. Subdomains count.
---
---```lua
---local tf = require "tunfilter"
---local blocked = tf.names{ "ads.example", "tracker.example" }
---
---assert(blocked:contains "www.ads.example")
---assert(not blocked:contains "example")
---```
---@class tunfilter.NamesMaker
---@overload fun(list: string[]?): tunfilter.Names
local names_maker = {}

--- Reads a set from a file beside the script: a domain a line, or the lines of a hosts file, whose addresses and names of
--- the machine itself are left out; `#` comments.
---
--- Errors: a file that cannot be read, or is not beside the script or in a folder there; a line that is no name, with its
--- number.
---@param path string relative to the script's folder
---@return tunfilter.Names names
function names_maker.load(path) end

--- A set of domain names. Case and a final dot do not matter. A look-up takes no longer however many there are. `#names`
--- is their number.
---@class tunfilter.Names
local names = {}

--- Whether a name, or a domain above it, is in the set.
---@param name string
---@return boolean inside
function names:contains(name) end

--- The entry that covers a name, the longest one.
---@param name string
---@return string? entry in lower case; nil for none
function names:match(name) end

--- Adds a domain of at most 253 bytes.
---@param name string
---@return boolean added false if it was there
function names:add(name) end

--- Removes a domain as it was added; those below it stay.
---@param name string
---@return boolean removed false if it was not there
function names:remove(name) end
