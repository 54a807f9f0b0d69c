"""Names of places: countries as ISO 3166 has them, states of the US, time zones of the IANA, by market segment.

EU is its 27 members and nothing else; APAC is Eastern, South-eastern and Southern Asia (without Iran) and Oceania, as
the United Nations' M49 divides the world. A state or time zone of the US is on the side its zone, or most of its
people, are on: Pacific, Mountain, Alaska and Hawaii are the west; Central and Eastern the east.
"""

from __future__ import annotations

from collections.abc import Mapping

from service.vocabulary import Segment

EU = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
APAC = (
    "CN HK JP KP KR MN MO TW"  # Eastern Asia
    " BN ID KH LA MM MY PH SG TH TL VN"  # South-eastern Asia
    " AF BD BT IN LK MV NP PK"  # Southern Asia
    " AS AU CC CK CX FJ FM GU HM KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS"  # Oceania
)
ALPHA_3 = """
    AD:AND AE:ARE AF:AFG AG:ATG AI:AIA AL:ALB AM:ARM AO:AGO AQ:ATA AR:ARG AS:ASM AT:AUT AU:AUS AW:ABW AX:ALA AZ:AZE
    BA:BIH BB:BRB BD:BGD BE:BEL BF:BFA BG:BGR BH:BHR BI:BDI BJ:BEN BL:BLM BM:BMU BN:BRN BO:BOL BQ:BES BR:BRA BS:BHS
    BT:BTN BV:BVT BW:BWA BY:BLR BZ:BLZ CA:CAN CC:CCK CD:COD CF:CAF CG:COG CH:CHE CI:CIV CK:COK CL:CHL CM:CMR CN:CHN
    CO:COL CR:CRI CU:CUB CV:CPV CW:CUW CX:CXR CY:CYP CZ:CZE DE:DEU DJ:DJI DK:DNK DM:DMA DO:DOM DZ:DZA EC:ECU EE:EST
    EG:EGY EH:ESH ER:ERI ES:ESP ET:ETH FI:FIN FJ:FJI FK:FLK FM:FSM FO:FRO FR:FRA GA:GAB GB:GBR GD:GRD GE:GEO GF:GUF
    GG:GGY GH:GHA GI:GIB GL:GRL GM:GMB GN:GIN GP:GLP GQ:GNQ GR:GRC GS:SGS GT:GTM GU:GUM GW:GNB GY:GUY HK:HKG HM:HMD
    HN:HND HR:HRV HT:HTI HU:HUN ID:IDN IE:IRL IL:ISR IM:IMN IN:IND IO:IOT IQ:IRQ IR:IRN IS:ISL IT:ITA JE:JEY JM:JAM
    JO:JOR JP:JPN KE:KEN KG:KGZ KH:KHM KI:KIR KM:COM KN:KNA KP:PRK KR:KOR KW:KWT KY:CYM KZ:KAZ LA:LAO LB:LBN LC:LCA
    LI:LIE LK:LKA LR:LBR LS:LSO LT:LTU LU:LUX LV:LVA LY:LBY MA:MAR MC:MCO MD:MDA ME:MNE MF:MAF MG:MDG MH:MHL MK:MKD
    ML:MLI MM:MMR MN:MNG MO:MAC MP:MNP MQ:MTQ MR:MRT MS:MSR MT:MLT MU:MUS MV:MDV MW:MWI MX:MEX MY:MYS MZ:MOZ NA:NAM
    NC:NCL NE:NER NF:NFK NG:NGA NI:NIC NL:NLD NO:NOR NP:NPL NR:NRU NU:NIU NZ:NZL OM:OMN PA:PAN PE:PER PF:PYF PG:PNG
    PH:PHL PK:PAK PL:POL PM:SPM PN:PCN PR:PRI PS:PSE PT:PRT PW:PLW PY:PRY QA:QAT RE:REU RO:ROU RS:SRB RU:RUS RW:RWA
    SA:SAU SB:SLB SC:SYC SD:SDN SE:SWE SG:SGP SH:SHN SI:SVN SJ:SJM SK:SVK SL:SLE SM:SMR SN:SEN SO:SOM SR:SUR SS:SSD
    ST:STP SV:SLV SX:SXM SY:SYR SZ:SWZ TC:TCA TD:TCD TF:ATF TG:TGO TH:THA TJ:TJK TK:TKL TL:TLS TM:TKM TN:TUN TO:TON
    TR:TUR TT:TTO TV:TUV TW:TWN TZ:TZA UA:UKR UG:UGA UM:UMI US:USA UY:URY UZ:UZB VA:VAT VC:VCT VE:VEN VG:VGB VI:VIR
    VN:VNM VU:VUT WF:WLF WS:WSM YE:YEM YT:MYT ZA:ZAF ZM:ZMB ZW:ZWE
"""
"""Every country by its two letters and its three."""

ENGLISH_NAMES = """
    AD Andorra; AE United Arab Emirates; AF Afghanistan; AG Antigua and Barbuda; AI Anguilla; AL Albania; AM Armenia;
    AO Angola; AQ Antarctica; AR Argentina; AS American Samoa; AT Austria; AU Australia; AW Aruba; AX Åland Islands;
    AZ Azerbaijan; BA Bosnia and Herzegovina; BB Barbados; BD Bangladesh; BE Belgium; BF Burkina Faso; BG Bulgaria; BH
    Bahrain; BI Burundi; BJ Benin; BL Saint Barthélemy; BM Bermuda; BN Brunei; BO Bolivia; BQ Bonaire, Sint Eustatius
    and Saba; BR Brazil; BS Bahamas; BT Bhutan; BV Bouvet Island; BW Botswana; BY Belarus; BZ Belize; CA Canada; CC
    Cocos Islands; CD The Democratic Republic Of Congo; CF Central African Republic; CG Congo; CH Switzerland; CI Côte
    d'Ivoire; CK Cook Islands; CL Chile; CM Cameroon; CN China; CO Colombia; CR Costa Rica; CU Cuba; CV Cape Verde; CW
    Curaçao; CX Christmas Island; CY Cyprus; CZ Czech Republic; DE Germany; DJ Djibouti; DK Denmark; DM Dominica; DO
    Dominican Republic; DZ Algeria; EC Ecuador; EE Estonia; EG Egypt; EH Western Sahara; ER Eritrea; ES Spain; ET
    Ethiopia; FI Finland; FJ Fiji; FK Falkland Islands; FM Micronesia; FO Faroe Islands; FR France; GA Gabon; GB
    United Kingdom; GD Grenada; GE Georgia; GF French Guiana; GG Guernsey; GH Ghana; GI Gibraltar; GL Greenland; GM
    Gambia; GN Guinea; GP Guadeloupe; GQ Equatorial Guinea; GR Greece; GS South Georgia And The South Sandwich
    Islands; GT Guatemala; GU Guam; GW Guinea-Bissau; GY Guyana; HK Hong Kong; HM Heard Island And McDonald Islands;
    HN Honduras; HR Croatia; HT Haiti; HU Hungary; ID Indonesia; IE Ireland; IL Israel; IM Isle Of Man; IN India; IO
    British Indian Ocean Territory; IQ Iraq; IR Iran; IS Iceland; IT Italy; JE Jersey; JM Jamaica; JO Jordan; JP
    Japan; KE Kenya; KG Kyrgyzstan; KH Cambodia; KI Kiribati; KM Comoros; KN Saint Kitts And Nevis; KP North Korea; KR
    South Korea; KW Kuwait; KY Cayman Islands; KZ Kazakhstan; LA Laos; LB Lebanon; LC Saint Lucia; LI Liechtenstein;
    LK Sri Lanka; LR Liberia; LS Lesotho; LT Lithuania; LU Luxembourg; LV Latvia; LY Libya; MA Morocco; MC Monaco; MD
    Moldova; ME Montenegro; MF Saint Martin; MG Madagascar; MH Marshall Islands; MK Macedonia; ML Mali; MM Myanmar; MN
    Mongolia; MO Macao; MP Northern Mariana Islands; MQ Martinique; MR Mauritania; MS Montserrat; MT Malta; MU
    Mauritius; MV Maldives; MW Malawi; MX Mexico; MY Malaysia; MZ Mozambique; NA Namibia; NC New Caledonia; NE Niger;
    NF Norfolk Island; NG Nigeria; NI Nicaragua; NL Netherlands; NO Norway; NP Nepal; NR Nauru; NU Niue; NZ New
    Zealand; OM Oman; PA Panama; PE Peru; PF French Polynesia; PG Papua New Guinea; PH Philippines; PK Pakistan; PL
    Poland; PM Saint Pierre And Miquelon; PN Pitcairn; PR Puerto Rico; PS Palestine; PT Portugal; PW Palau; PY
    Paraguay; QA Qatar; RE Reunion; RO Romania; RS Serbia; RU Russia; RW Rwanda; SA Saudi Arabia; SB Solomon Islands;
    SC Seychelles; SD Sudan; SE Sweden; SG Singapore; SH Saint Helena; SI Slovenia; SJ Svalbard And Jan Mayen; SK
    Slovakia; SL Sierra Leone; SM San Marino; SN Senegal; SO Somalia; SR Suriname; SS South Sudan; ST Sao Tome And
    Principe; SV El Salvador; SX Sint Maarten (Dutch part); SY Syria; SZ Swaziland; TC Turks And Caicos Islands; TD
    Chad; TF French Southern Territories; TG Togo; TH Thailand; TJ Tajikistan; TK Tokelau; TL Timor-Leste; TM
    Turkmenistan; TN Tunisia; TO Tonga; TR Turkey; TT Trinidad and Tobago; TV Tuvalu; TW Taiwan; TZ Tanzania; UA
    Ukraine; UG Uganda; UM United States Minor Outlying Islands; US United States; UY Uruguay; UZ Uzbekistan; VA
    Vatican; VC Saint Vincent And The Grenadines; VE Venezuela; VG British Virgin Islands; VI U.S. Virgin Islands; VN
    Vietnam; VU Vanuatu; WF Wallis And Futuna; WS Samoa; YE Yemen; YT Mayotte; ZA South Africa; ZM Zambia; ZW Zimbabwe
"""
"""Every country by its two letters and its English name, as the package phonenumbers has them, whose own
table takes a hundred megabytes of memory."""

FURTHER_NAMES: Mapping[str, str] = {
    "america": "US",
    "united states of america": "US",
    "uk": "GB",
    "great britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "czechia": "CZ",
    "holland": "NL",
    "the netherlands": "NL",
    "republic of ireland": "IE",
    "slovak republic": "SK",
    "russian federation": "RU",
    "turkiye": "TR",
    "uae": "AE",
    "korea": "KR",
    "republic of korea": "KR",
    "korea republic of": "KR",
    "viet nam": "VN",
    "burma": "MM",
    "brunei darussalam": "BN",
    "hong kong sar": "HK",
    "macao": "MO",
    "east timor": "TL",
    "mainland china": "CN",
    "peoples republic of china": "CN",
    "north macedonia": "MK",
    "eswatini": "SZ",
    "cabo verde": "CV",
    "ivory coast": "CI",
    "democratic republic of the congo": "CD",
    "bosnia": "BA",
    "moldova republic of": "MD",
    "tanzania united republic of": "TZ",
    "iran islamic republic of": "IR",
    "syrian arab republic": "SY",
    "holy see": "VA",
    "kosovo": "XK",
    "xk": "XK",
}
"""What countries are called besides the names that libphonenumber knows, as words are compared."""

# Used all over the world for what they sound like, or because they cost nothing: they tell no country.
GENERIC_DOMAINS = (
    "ac ad ag ai as bz cc cd cf co dj fm ga gg gl gq im io la ly me ml ms nu pw sc sh so sr st tk to tv vc ws"
)

STATES: Mapping[Segment, str] = {
    "US-West": (
        "AK Alaska, AZ Arizona, CA California, CO Colorado, HI Hawaii, ID Idaho, MT Montana, NM New Mexico, NV Nevada, "
        "OR Oregon, UT Utah, WA Washington, WY Wyoming"
    ),
    "US-East": (
        "AL Alabama, AR Arkansas, CT Connecticut, DC District of Columbia, DE Delaware, FL Florida, GA Georgia, "
        "IA Iowa, IL Illinois, IN Indiana, KS Kansas, KY Kentucky, LA Louisiana, MA Massachusetts, MD Maryland, "
        "ME Maine, MI Michigan, MN Minnesota, MO Missouri, MS Mississippi, NC North Carolina, ND North Dakota, "
        "NE Nebraska, NH New Hampshire, NJ New Jersey, NY New York, OH Ohio, OK Oklahoma, PA Pennsylvania, "
        "RI Rhode Island, SC South Carolina, SD South Dakota, TN Tennessee, TX Texas, VA Virginia, VT Vermont, "
        "WI Wisconsin, WV West Virginia"
    ),
}

ZONES: Mapping[Segment, Mapping[str, str]] = {
    "US-West": {
        "America": "Adak Anchorage Atka Boise Denver Juneau Los_Angeles Metlakatla Nome Phoenix Shiprock Sitka Yakutat",
        "Pacific": "Honolulu Johnston",
        "US": "Alaska Aleutian Arizona Hawaii Mountain Pacific",
    },
    "US-East": {
        "America": """
            Chicago Detroit Fort_Wayne Indiana/Indianapolis Indiana/Knox Indiana/Marengo Indiana/Petersburg
            Indiana/Tell_City Indiana/Vevay Indiana/Vincennes Indiana/Winamac Indianapolis Kentucky/Louisville
            Kentucky/Monticello Knox_IN Louisville Menominee New_York North_Dakota/Beulah North_Dakota/Center
            North_Dakota/New_Salem
        """,
        "US": "Central East-Indiana Eastern Indiana-Starke Michigan",
    },
    "EU": {
        "Africa": "Ceuta",
        "Asia": "Famagusta Nicosia",
        "Atlantic": "Azores Canary Madeira",
        "Europe": """
            Amsterdam Athens Berlin Bratislava Brussels Bucharest Budapest Busingen Copenhagen Dublin Helsinki
            Lisbon Ljubljana Luxembourg Madrid Malta Nicosia Paris Prague Riga Rome Sofia Stockholm Tallinn
            Vienna Vilnius Warsaw Zagreb
        """,
    },
    "APAC": {
        "Antarctica": "Macquarie",
        "Asia": """
            Bangkok Brunei Calcutta Choibalsan Chongqing Chungking Colombo Dacca Dhaka Dili Harbin Ho_Chi_Minh
            Hong_Kong Hovd Jakarta Jayapura Kabul Karachi Kashgar Kathmandu Katmandu Kolkata Kuala_Lumpur
            Kuching Macao Macau Makassar Manila Phnom_Penh Pontianak Pyongyang Rangoon Saigon Seoul Shanghai
            Singapore Taipei Thimbu Thimphu Tokyo Ujung_Pandang Ulaanbaatar Ulan_Bator Urumqi Vientiane Yangon
        """,
        "Australia": """
            ACT Adelaide Brisbane Broken_Hill Canberra Currie Darwin Eucla Hobart LHI Lindeman Lord_Howe
            Melbourne NSW North Perth Queensland South Sydney Tasmania Victoria West Yancowinna
        """,
        "Indian": "Christmas Cocos Maldives",
        "Pacific": """
            Apia Auckland Bougainville Chatham Chuuk Efate Enderbury Fakaofo Fiji Funafuti Gambier Guadalcanal
            Guam Kanton Kiritimati Kosrae Kwajalein Majuro Marquesas Midway Nauru Niue Norfolk Noumea Pago_Pago
            Palau Pitcairn Pohnpei Ponape Port_Moresby Rarotonga Saipan Samoa Tahiti Tarawa Tongatapu Truk Wake
            Wallis Yap
        """,
        "US": "Samoa",
    },
    "other": {
        "Africa": """
            Abidjan Accra Addis_Ababa Algiers Asmara Asmera Bamako Bangui Banjul Bissau Blantyre Brazzaville
            Bujumbura Cairo Casablanca Conakry Dakar Dar_es_Salaam Djibouti Douala El_Aaiun Freetown Gaborone
            Harare Johannesburg Juba Kampala Khartoum Kigali Kinshasa Lagos Libreville Lome Luanda Lubumbashi
            Lusaka Malabo Maputo Maseru Mbabane Mogadishu Monrovia Nairobi Ndjamena Niamey Nouakchott
            Ouagadougou Porto-Novo Sao_Tome Timbuktu Tripoli Tunis Windhoek
        """,
        "America": """
            Anguilla Antigua Araguaina Argentina/Buenos_Aires Argentina/Catamarca Argentina/ComodRivadavia
            Argentina/Cordoba Argentina/Jujuy Argentina/La_Rioja Argentina/Mendoza Argentina/Rio_Gallegos
            Argentina/Salta Argentina/San_Juan Argentina/San_Luis Argentina/Tucuman Argentina/Ushuaia Aruba
            Asuncion Atikokan Bahia Bahia_Banderas Barbados Belem Belize Blanc-Sablon Boa_Vista Bogota
            Buenos_Aires Cambridge_Bay Campo_Grande Cancun Caracas Catamarca Cayenne Cayman Chihuahua
            Ciudad_Juarez Coral_Harbour Cordoba Costa_Rica Coyhaique Creston Cuiaba Curacao Danmarkshavn Dawson
            Dawson_Creek Dominica Edmonton Eirunepe El_Salvador Ensenada Fort_Nelson Fortaleza Glace_Bay Godthab
            Goose_Bay Grand_Turk Grenada Guadeloupe Guatemala Guayaquil Guyana Halifax Havana Hermosillo Inuvik
            Iqaluit Jamaica Jujuy Kralendijk La_Paz Lima Lower_Princes Maceio Managua Manaus Marigot Martinique
            Matamoros Mazatlan Mendoza Merida Mexico_City Miquelon Moncton Monterrey Montevideo Montreal
            Montserrat Nassau Nipigon Noronha Nuuk Ojinaga Panama Pangnirtung Paramaribo Port-au-Prince
            Port_of_Spain Porto_Acre Porto_Velho Puerto_Rico Punta_Arenas Rainy_River Rankin_Inlet Recife Regina
            Resolute Rio_Branco Rosario Santa_Isabel Santarem Santiago Santo_Domingo Sao_Paulo Scoresbysund
            St_Barthelemy St_Johns St_Kitts St_Lucia St_Thomas St_Vincent Swift_Current Tegucigalpa Thule
            Thunder_Bay Tijuana Toronto Tortola Vancouver Virgin Whitehorse Winnipeg Yellowknife
        """,
        "Antarctica": "Casey Davis DumontDUrville Mawson McMurdo Palmer Rothera South_Pole Syowa Troll Vostok",
        "Arctic": "Longyearbyen",
        "Asia": """
            Aden Almaty Amman Anadyr Aqtau Aqtobe Ashgabat Ashkhabad Atyrau Baghdad Bahrain Baku Barnaul Beirut
            Bishkek Chita Damascus Dubai Dushanbe Gaza Hebron Irkutsk Istanbul Jerusalem Kamchatka Khandyga
            Krasnoyarsk Kuwait Magadan Muscat Novokuznetsk Novosibirsk Omsk Oral Qatar Qostanay Qyzylorda Riyadh
            Sakhalin Samarkand Srednekolymsk Tashkent Tbilisi Tehran Tel_Aviv Tomsk Ust-Nera Vladivostok Yakutsk
            Yekaterinburg Yerevan
        """,
        "Atlantic": "Bermuda Cape_Verde Faeroe Faroe Jan_Mayen Reykjavik South_Georgia St_Helena Stanley",
        "Brazil": "Acre DeNoronha East West",
        "Canada": "Atlantic Central Eastern Mountain Newfoundland Pacific Saskatchewan Yukon",
        "Chile": "Continental EasterIsland",
        "Europe": """
            Andorra Astrakhan Belfast Belgrade Chisinau Gibraltar Guernsey Isle_of_Man Istanbul Jersey
            Kaliningrad Kiev Kirov Kyiv London Mariehamn Minsk Monaco Moscow Oslo Podgorica Samara San_Marino
            Sarajevo Saratov Simferopol Skopje Tirane Tiraspol Ulyanovsk Uzhgorod Vaduz Vatican Volgograd
            Zaporozhye Zurich
        """,
        "Indian": "Antananarivo Chagos Comoro Kerguelen Mahe Mauritius Mayotte Reunion",
        "Mexico": "BajaNorte BajaSur General",
        "Pacific": "Easter Galapagos",
    },
}
