package gate

import rego.v1

# The nearest consumer's first agreement in force; `data.ancestors` lists nearest first.
governing := [agreement.id |
	some consumer in data.ancestors[input.system]
	some agreement in data.agreements[consumer][input.path][input.purpose]
	agreement.from <= input.now
	input.now < agreement.until
][0]

# Whether there is any.
allow if {
	some consumer in data.ancestors[input.system]
	some agreement in data.agreements[consumer][input.path][input.purpose]
	agreement.from <= input.now
	input.now < agreement.until
}
