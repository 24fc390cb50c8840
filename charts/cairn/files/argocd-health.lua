-- How Argo CD is to see a Workflow. It goes into the ConfigMap argocd-cm, under the key
--   resource.customizations.health.cairn.dev_Workflow
-- A run that waits for an answer, or is held, is Suspended: a sync goes on past it, and people see it.

local function told(status, message)
  return {status = status, message = message}
end

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local generation = obj.metadata.generation
if status.phase == nil and conditions.Accepted == nil then
  return told("Progressing", "no operator has looked at it yet")
end
if generation ~= nil and status.observedGeneration ~= nil and status.observedGeneration < generation then
  return told("Progressing", "its last change has not been looked at yet")
end
if conditions.Accepted ~= nil and conditions.Accepted.status == "False" then
  return told("Degraded", conditions.Accepted.message)
end
if status.phase == "Succeeded" then
  return told("Healthy", "Succeeded")
end
if status.phase == "Failed" or status.phase == "Cancelled" then
  local failed = conditions.Failed or {}
  return told("Degraded", failed.message or status.phase)
end
if conditions.Degraded ~= nil and conditions.Degraded.status == "True" then
  return told("Degraded", conditions.Degraded.message)
end
if status.phase == "Waiting" or status.phase == "Suspended" then
  return told("Suspended", status.phase)
end
return told("Progressing", (status.phase or "Pending") .. " " .. (status.progress or ""))
