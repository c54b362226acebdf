--- Names of files, as the system writes them.
local M = {}

local windows = jit.os == "Windows"

-- Windows finds these in every folder, whatever stands behind a dot.
local devices = { con = true, prn = true, aux = true, nul = true }
for i = 0, 9 do devices["com" .. i], devices["lpt" .. i] = true, true end

--- The folder that a file is in, with the separator behind it; "" for the current one.
function M.folder(path)
   return path:match(windows and "^(.*[/\\:])" or "^(.*/)") or ""
end

--- Whether a path begins at the system's root, or a drive's.
function M.is_absolute(path)
   return path:find(windows and "^[/\\]" or "^/") ~= nil or windows and path:find "^%a:" ~= nil
end

-- Windows takes ".. " and "..." for "..", and "con .txt" for "con".
local function is_plain_on_windows(part)
   return not part:find "[. ]$" and not devices[part:lower():match "^([^.]*)":gsub(" +$", "")]
end

--- Whether it leads from a folder to something in it or below: from no root, by no way up, to no device.
function M.is_below(path)
   if M.is_absolute(path) or path:find("\0", 1, true) or windows and path:find ":" then return false end
   for part in path:gmatch(windows and "[^/\\]+" or "[^/]+") do
      if part == ".." or windows and part ~= "." and not is_plain_on_windows(part) then return false end
   end
   return true
end

return M
